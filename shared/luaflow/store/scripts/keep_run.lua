-- keep_run: how long a run is kept once it is closed.
-- KEYS meta run gc
-- ARGV server run_id verb ms:int
-- verb: pin (it is kept until it is unpinned) | unpin (its retention begins now) | settle (of a closed run:
-- it goes in `ms`; 0: when it would anyway; a pinned one stays)
-- Returns {'ok'} | {'gone'}
--- include partition

local v = rcall('HMGET', run_key, 'status', 'pin', 'kept')
if not v[1] then return { 'gone' } end
touch()
local goes
if verb == 'pin' then
  rcall('HSET', run_key, 'pin', 1)
  goes = 9e15
elseif verb == 'unpin' then
  rcall('HDEL', run_key, 'pin')
  goes = v[2] and server_now + tonumber(v[3] or rcall('HGET', meta_key, 'retention') or '604800000')
else
  if ms > 0 then rcall('HSET', run_key, 'kept', ms) end
  goes = v[2] and 9e15 or ms > 0 and server_now + ms
end
if goes then rcall('ZADD', gc_key, 'XX', string.format('%d', goes), run_id) end
if verb == 'settle' and ms > 0 then ring(server_now + ms) end
return { 'ok' }
