-- update: puts an update into the history of an open run; one that its workflow id knows already is
-- only told about.
-- KEYS meta wf run hist tq sticky leases timers
-- ARGV server run_id queue sticky update_id body
-- Returns {'ok', event id, run id} | {'known', run id} (asked before; the run may have handed it on) |
--   {'moved', run, queue, sticky} | {'closed', status} | {'busy'} | {'gone'}
--- include partition
local asked
--- include asked
--- include tell

local w = rcall('HMGET', wf_key, 'run', 'queue', 'sticky', 'first')
local r = w[1] and load_told()
if not r then
  if w[1] and w[1] ~= run_id and w[4] == run_id then return { 'moved', w[1], w[2], w[3] } end
  return { 'gone' }
end
if rcall('HEXISTS', run_key, 'u:' .. update_id) == 1 then return { 'known', run_id } end
-- of a chain of runs each update is one
asked = 'update:' .. r.first .. ':' .. update_id
local _, got = done_before()
if got then return { 'known', got } end
-- its chain goes on: continued as new, tried again, by cron
if w[1] ~= run_id and (w[4] or '') == r.first then
  return { 'moved', w[1], w[2], w[3] }
end
if r.status ~= 'running' then return { 'closed', r.status } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
if r.shut then return { 'busy' } end
touch()
tell(r, 'WorkflowExecutionUpdateAdmitted', body)
rcall('HSET', run_key, 'u:' .. update_id, 'a' .. r.len)
note(r.len, run_id)
return { 'ok', r.len, run_id }
