-- release_task: a worker hands a workflow task back (drain, or a run above its own version).
-- KEYS meta wf run hist leases tq
-- ARGV server run_id turn:int worker queue
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
if r.sticky ~= '' then rcall('HSET', wf_key, 'sticky', '') end
r.sticky = ''
rcall('HSET', run_key, 'refused', 0, 'shut', '0')
rcall('ZREM', leases_key, 'w|' .. run_id)
schedule(r)
save_run(r)
return { 'ok' }
