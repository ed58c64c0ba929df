-- lead: the scheduler that asks exports the gauges read from Redis, unless another one does. A hint.
-- KEYS leader
-- ARGV server id ttl:int
-- ttl 0: it gives that up
-- Returns {'ok'} | {'no', who does}

typed()
local who = redis.call('HGET', leader_key, 'id')
if who and who ~= id then return { 'no', who } end
redis.call('HSET', leader_key, 'id', id)
redis.call('PEXPIRE', leader_key, ttl)
return { 'ok' }
