-- expire_task: nobody read a sticky task in time, or the worker that took a task went silent.
-- The task goes to the shared queue under a new turn; a run that keeps losing its worker waits.
-- KEYS meta wf run hist timers leases tq sticky
-- ARGV server run_id score queue sticky reason
-- Returns {'ok', what it was} | {'early'} | {'moved', run, queue, sticky} | {'gone'}
--- include partition
--- include run

local member = 'w|' .. run_id
local due = rcall('ZSCORE', leases_key, member)
local r = load_run()
if not due then return { 'gone' } end
if not r or r.status ~= 'running' or (r.task ~= 'taken' and r.task ~= 'sticky') then
  rcall('ZREM', leases_key, member)
  return { 'gone' }
end
if due ~= score or tonumber(due) > server_now then return { 'early' } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
touch()
local was = r.task
if was == 'sticky' then
  rcall('XACK', sticky_key, 'w', r.entry)
  rcall('XDEL', sticky_key, r.entry)
end
rcall('ZREM', leases_key, member)
if r.sticky ~= '' then rcall('HSET', wf_key, 'sticky', '') end
r.sticky, r.task = '', ''
rcall('HSET', run_key, 'refused', 0, 'shut', '0')
if was == 'taken' then
  r.lost = r.lost + 1
  rcall('HSET', run_key, 'lost', r.lost)
end
local limit = tonumber(rcall('HGET', meta_key, 'lost_limit') or '5')
if r.lost >= limit then
  -- it killed or hung its workers too often in a row: parked, visible, tried again after a minute, then
  -- two, at most every 16
  rcall('HSET', run_key, 'stuck', reason)
  r.turn, r.task = r.turn + 1, 'backoff'
  set_timer('f|' .. run_id, now + 60000 * 2 ^ math.min(r.lost - limit, 4))
else
  schedule(r)
end
save_run(r)
return { 'ok', was }
