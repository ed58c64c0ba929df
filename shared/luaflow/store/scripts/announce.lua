-- announce: a worker says that it lives; its record goes a while after it stopped saying so. Also when
-- memory is out: a worker that could not say so would be buried alive, and all running work with it.
-- KEYS worker workers
-- ARGV server incarnation record ttl:int
-- Returns {'ok'}

typed()
-- the real clock in a simulated namespace, too: the record's time to live is real
local t = redis.call('TIME')
redis.call('HSET', worker_key, 'record', record)
redis.call('PEXPIRE', worker_key, ttl)
redis.call('ZADD', workers_key, t[1] * 1000 + math.floor(t[2] / 1000), incarnation)
return { 'ok' }
