-- wake_run: the start delay (d), the wait for its moment (g: rate limit) or the pause after failed
-- tasks (f) is over: the run gets its task.
-- KEYS meta wf run hist timers leases tq sticky
-- ARGV server run_id kind queue sticky
-- Returns {'ok'} | {'early'} | {'moved', run, queue, sticky} | {'gone'}
--- include partition
--- include run

local WAITS = { d = 'delayed', g = 'gated', f = 'backoff' }
local member = kind .. '|' .. run_id
local due = tonumber(rcall('ZSCORE', timers_key, member))
local r = load_run()
if not due then return { 'gone' } end
if not r or r.status ~= 'running' or r.task ~= WAITS[kind] then
  rcall('ZREM', timers_key, member)
  return { 'gone' }
end
if due > now then return { 'early' } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
touch()
rcall('ZREM', timers_key, member)
r.task = ''
schedule(r)
save_run(r)
return { 'ok' }
