-- message: puts a message (signal, cancel request, update) into the history of an open run.
-- KEYS meta wf run hist tq sticky sess leases timers
-- ARGV server session request:int lowest:int run_id queue sticky type body
-- Returns {'ok', event id} | {'moved', run, queue, sticky} | {'closed', status} | {'busy'} | {'gone'}
--- include partition
--- include session
--- include run

if repeated() then return { 'ok', 0 } end
local current = rcall('HGET', wf_key, 'run')
if not current then return { 'gone' } end
local r = load_run()
if not r or current ~= run_id and (r.status == 'continued_as_new' or r.status == 'running') then
  local w = rcall('HMGET', wf_key, 'run', 'queue', 'sticky')
  return { 'moved', w[1], w[2], w[3] }
end
if r.status ~= 'running' then return { 'closed', r.status } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
if r.shut then return { 'busy' } end
touch()
remember()
if r.task == 'delayed' then
  -- a message does not wait for the start delay
  rcall('ZREM', timers_key, 'd|' .. run_id)
  r.task = ''
end
tell(r, type, body)
return { 'ok', r.len }
