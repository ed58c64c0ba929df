-- disown: a run that is over, or was lost with its primary, gives back a lock that it is still down for:
-- the servers of its partition and of the lock's lost different writes in a fail-over.
-- KEYS meta run wf leases outbox
-- ARGV server first receiver message
-- first: that run, or the first one of the chain that the lock belongs to
-- Returns {'ok'} | {'alive'}
--- include partition
--- include outbox

if rcall('HGET', run_key, 'status') == 'running' then return { 'alive' } end
local chain = rcall('HMGET', wf_key, 'status', 'first')
if chain[1] == 'running' and chain[2] == first then return { 'alive' } end
touch()
post(outbox_key, receiver, message)
return { 'ok' }
