-- due: what this partition owes: entries of its three sets that are due, and when the next one is.
-- The caller promises to be back by then: until that moment nobody needs to ring (see partition).
-- KEYS meta timers leases gc
-- ARGV server limit:int latest:int
-- latest: ms after which the caller comes back whatever happens
-- Returns {server now, namespace now, timers, leases, gc, wake-up (server time)}; sets as member, score …
--- include partition

touch()
local timers = rcall('ZRANGEBYSCORE', timers_key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
local leases = rcall('ZRANGEBYSCORE', leases_key, '-inf', server_now, 'WITHSCORES', 'LIMIT', 0, limit)
local old = rcall('ZRANGEBYSCORE', gc_key, '-inf', server_now, 'WITHSCORES', 'LIMIT', 0, limit)
local next_due = server_now + latest
local function look(key, offset)
  local first = rcall('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if first then next_due = math.min(next_due, tonumber(first) - offset) end
end
look(timers_key, now - server_now)
look(leases_key, 0)
look(gc_key, 0)
rcall('HSET', meta_key, 'wake', next_due)
return { server_now, now, timers, leases, old, next_due }
