-- finish_job: the outcome of a plain job is kept for a while, and whoever waits is told.
-- KEYS meta pend jobs leases timers
-- ARGV server run_id seq token proof member score type body
-- Returns {'ok'} | {'fenced'}
--- include partition
--- include activity
--- include attempt

local v = rcall('HMGET', pend_key, 'status', 'ttl', 'wid')
if v[1] ~= 'running' or not speaks_for(load_activity(seq)) then return { 'fenced' } end
touch()
forget_activity(seq)
rcall('HDEL', pend_key, 'e:' .. seq)
rcall('HSET', pend_key, 'status', type, 'close', now, 'body', body)
rcall('PEXPIRE', pend_key, v[2])
rcall('ZREM', jobs_key, v[3])
rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'done:' .. run_id, type .. '\n' .. (#body <= 65536 and body or ''))
return { 'ok' }
