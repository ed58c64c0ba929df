-- fire_timer: a durable timer that is due becomes TimerFired, once, never early.
-- KEYS meta wf run hist pend timers leases tq sticky
-- ARGV server run_id seq queue sticky body
-- Returns {'ok', due} | {'early', due} | {'moved', run, queue, sticky} | {'gone'}
--- include partition
--- include tell

local member = 't|' .. run_id .. '|' .. seq
local r = load_told()
local due = tonumber(rcall('HGET', pend_key, 't:' .. seq))
if not r or r.status ~= 'running' or not due then
  rcall('ZREM', timers_key, member)
  return { 'gone' }
end
if due > now then return { 'early', due } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
touch()
-- the event first: should the server refuse it, the timer is still there
tell(r, 'TimerFired', body)
rcall('HDEL', pend_key, 't:' .. seq)
rcall('ZREM', timers_key, member)
return { 'ok', due }
