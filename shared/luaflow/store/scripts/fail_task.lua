-- fail_task: a decision could not be made (divergence, code that loops, a missing bundle). The task
-- fails, never the run: it is tried again after `delay`, doubled with each failure in a row up to `cap`
-- ms, and `reason` (JSON) says why it is stuck.
-- KEYS meta wf run leases timers
-- ARGV server run_id turn:int worker delay:int reason cap:int
-- Returns {'ok', failures in a row} | {'lost'}
--- include partition
--- include run

local r = load_run()
if not r or r.status ~= 'running' or r.turn ~= turn or r.task ~= 'taken' or r.worker ~= worker then
  return { 'lost' }
end
touch()
if r.sticky ~= '' then rcall('HSET', wf_key, 'sticky', '') end
rcall('HSET', run_key, 'turn', r.turn + 1, 'task', 'backoff', 'sticky', '', 'fails', r.fails + 1,
  'stuck', reason, 'refused', 0, 'shut', '0')
rcall('ZREM', leases_key, 'w|' .. run_id)
set_timer('f|' .. run_id, now + math.min(delay * 2 ^ math.min(r.fails, 10), cap))
return { 'ok', r.fails + 1 }
