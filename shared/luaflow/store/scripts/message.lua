-- message: puts a message (signal, cancel request) into the history of an open run, or several
-- of one request together.
-- KEYS meta wf run hist tq sticky sess leases timers
-- ARGV server session request:int lowest:int asked run_id queue sticky type body more...
-- more: type, body, type, body …
-- Returns {'ok', last event id} | {'moved', run, queue, sticky} | {'closed', status} | {'busy'} |
--   {'gone'} (there is no such run: whoever did not mean this one in particular looks for the present one)
--- include partition
--- include session
--- include asked
--- include tell

local event = done_before()
if event then return { 'ok', tonumber(event) } end
if repeated() then return { 'ok', 0 } end
local w = rcall('HMGET', wf_key, 'run', 'queue', 'sticky', 'first')
local r = w[1] and load_told()
if not r then
  -- the first run of a chain is gone, and the chain goes on
  if w[1] and w[1] ~= run_id and w[4] == run_id then return { 'moved', w[1], w[2], w[3] } end
  return { 'gone' }
end
-- its chain goes on: continued as new, tried again, by cron
if w[1] ~= run_id and (w[4] or '') == r.first then
  return { 'moved', w[1], w[2], w[3] }
end
if r.status ~= 'running' then return { 'closed', r.status } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
if r.shut then return { 'busy' } end
touch()
tell(r, type, body)
for i = more, #ARGV, 2 do tell(r, ARGV[i], ARGV[i + 1]) end
remember()
note(r.len, run_id)
return { 'ok', r.len }
