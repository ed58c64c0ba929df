-- release_task: a worker hands a workflow task back (drain, a run above its own version, or one that goes on
-- and on while others wait).
-- KEYS meta wf run hist leases tq sticky
-- ARGV server run_id turn:int worker queue keep:int
-- keep 1: it has the run in memory, and takes the task again when its turn comes, from its own queue
-- Returns {'ok'} | {'lost'}
--- include partition
--- include run

local r = load_run()
if not r or r.status ~= 'running' or r.turn ~= turn or r.task ~= 'taken' or r.worker ~= worker
    or r.queue ~= queue then
  return { 'lost' }
end
touch()
r.task = ''
if keep == 0 or r.sticky ~= worker then
  if r.sticky ~= '' then rcall('HSET', wf_key, 'sticky', '') end
  r.sticky = ''
end
rcall('HSET', run_key, 'refused', 0, 'shut', '0')
rcall('ZREM', leases_key, 'w|' .. run_id)
schedule(r)
save_run(r)
return { 'ok' }
