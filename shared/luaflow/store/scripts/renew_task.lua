-- renew_task: a worker at work on a workflow task keeps its lease.
-- KEYS meta run leases
-- ARGV server run_id turn:int worker
-- Returns {'ok'} | {'lost'}
--- include partition

local v = rcall('HMGET', run_key, 'status', 'turn', 'task', 'worker', 'shut')
if v[1] ~= 'running' or tonumber(v[2]) ~= turn or v[3] ~= 'taken' or v[4] ~= worker then return { 'lost' } end
touch()
-- a decision that takes as long (a local activity) must not keep the mailbox shut: others wait before
-- it; the next refusal shuts it again at once
if v[5] == '1' then rcall('HSET', run_key, 'shut', '0') end
set_lease('w|' .. run_id, server_now + lease_ms)
return { 'ok' }
