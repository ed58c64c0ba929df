-- reserve: a rate limit gives away moments to start at: what is free now, at most `want`, else the next
-- one to come, which then belongs to whoever asked. Server time; the hash holds one number:
--   next   when the next start would be due if none were ahead of its time, in microseconds
-- At most `limit` may start at once after a pause of `per`; then one each per/limit.
-- KEYS meta rate
-- ARGV server limit:int per:int want:int
-- Returns {'ok', how many may start now, ms to wait for the one reserved (0: none was)}
--- include partition

touch()
local step = math.max(1, math.floor(per * 1000 / limit))
local at = server_now * 1000
local due = math.max(tonumber(rcall('HGET', rate_key, 'next') or '0'), at)
local free = math.floor((at + limit * step - due) / step)
local granted = math.max(0, math.min(free, want))
due = due + math.max(granted, 1) * step
rcall('HSET', rate_key, 'next', string.format('%.0f', due))
rcall('PEXPIRE', rate_key, math.ceil((due - at) / 1000) + per)
local wait = granted > 0 and 0 or math.ceil((due - limit * step - at) / 1000)
return { 'ok', granted, wait }
