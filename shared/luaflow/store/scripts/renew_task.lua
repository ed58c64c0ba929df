-- renew_task: a worker at work on a workflow task keeps its lease.
-- KEYS meta run leases
-- ARGV server run_id turn:int worker waits:int
-- waits 1: the decision waits for local activities
-- Returns {'ok'} | {'lost'}
--- include partition

local v = rcall('HMGET', run_key, 'status', 'turn', 'task', 'worker', 'shut', 'due_task')
if v[1] ~= 'running' or tonumber(v[2]) ~= turn or v[3] ~= 'taken' or v[4] ~= worker then return { 'lost' } end
touch()
-- a decision that waits for local activities must not keep the mailbox shut: those who send wait, too,
-- and for how long nobody knows; the next refusal shuts it again at once
if waits == 1 and v[5] == '1' then rcall('HSET', run_key, 'shut', '0') end
local due = server_now + lease_ms
-- the time of local activities is their own; what follows them has a lease like any task
if waits == 1 and v[6] then rcall('HDEL', run_key, 'due_task') end
if v[6] and waits == 0 then due = math.min(due, tonumber(v[6])) end
set_lease('w|' .. run_id, due)
return { 'ok' }
