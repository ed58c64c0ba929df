-- The partition's two clocks (design 5.7), its epoch (5.6) and its doorbell; read once, at the top.
-- server_now: server time; now: namespace time, never going back. Both in milliseconds.
local rcall = redis.call
local M = rcall('HMGET', meta_key, 'last', 'offset', 'server', 'vtime', 'epoch', 'wake', 'lease')
local server_now
if M[4] then
  server_now = tonumber(M[4])
else
  local t = rcall('TIME')
  server_now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local last = tonumber(M[1] or '0')
local now = math.max(last, server_now + tonumber(M[2] or '0'))
local epoch = tonumber(M[5] or '0')
local wake = tonumber(M[6] or 'inf') or math.huge
local lease_ms = tonumber(M[7] or '10000')

-- The first write of every script: remembers the time, and a new primary raises the epoch: to the
-- time, for a count would be lost with the end that a fail-over loses, and the next primary would give
-- its number again. A key of a wrong type fails the script here, before anything is written (`typed`
-- is made by the loader; `-- TYPES` in a header names the keys it looks at, where others are read before or
-- are the first to be written).
local function touch()
  -- (~: a node of a cluster) while a slot moves, a key that becomes empty is taken for one that has left,
  -- and the next access to it breaks the script off half way: one that nobody has fails it here instead
  if string.byte(server) == 126 then rcall('EXISTS', meta_key .. ':') end
  typed()
  if M[3] ~= server then
    epoch = math.max(epoch + 1, server_now)
    rcall('HSET', meta_key, 'server', server, 'epoch', epoch, 'last', now)
  elseif now > last then
    rcall('HSET', meta_key, 'last', now)
  end
end

-- Wakes the schedulers when something is due (server time) before the moment they wake anyway.
local function ring(due)
  if due < wake then
    wake = due
    rcall('HSET', meta_key, 'wake', due)
    rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'bell', due)
  end
end

local function set_lease(member, due)
  rcall('ZADD', leases_key, due, member)
  ring(due)
end

local function set_timer(member, due)
  rcall('ZADD', timers_key, due, member)
  ring(server_now + (due - now))
end
