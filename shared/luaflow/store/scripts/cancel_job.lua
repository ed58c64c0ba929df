-- cancel_job: a plain job is asked to stop; one that does not run is ended by a scheduler.
-- KEYS meta pend leases
-- ARGV server run_id seq
-- Returns {'ok'} | {'closed'} | {'gone'}
--- include partition
--- include activity

local status = rcall('HGET', pend_key, 'status')
if status ~= 'running' then return { status and 'closed' or 'gone' } end
local a = load_activity(seq)
touch()
if a.state == 'r' or a.state == 'c' then
  a.state = 'c'
else
  a.state = 'x'
  set_lease('a|' .. run_id .. '|' .. seq, server_now)
end
save_activity(seq, a)
return { 'ok' }
