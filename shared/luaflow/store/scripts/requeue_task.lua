-- requeue_task: the entry of a queued workflow task is lost, or was read by a worker that died.
-- KEYS meta wf run hist leases tq
-- ARGV server run_id turn:int queue entry
-- entry: what was found in the stream ('' = nothing); it goes, whatever its task has become
-- Returns {'ok'} | {'gone'}
--- include partition
--- include run

touch()
if entry ~= '' then
  rcall('XACK', tq_key, 'w', entry)
  rcall('XDEL', tq_key, entry)
end
local r = load_run()
if not r or r.status ~= 'running' or r.task ~= 'queued' or r.turn ~= turn or r.queue ~= queue then
  return { 'gone' }
end
rcall('XACK', tq_key, 'w', r.entry)
rcall('XDEL', tq_key, r.entry)
r.task, r.sticky = '', ''
schedule(r)
save_run(r)
return { 'ok' }
