-- shift_clock: namespace time moves forward (tests, simulated namespaces); it never goes back. The caller
-- reads where the clock is and names where it shall be, so a repeat moves nothing.
-- KEYS meta
-- ARGV server to:int simulated:int
-- simulated 0: `to` is the new offset; 1: the new time of the virtual server clock
-- Returns {'ok', namespace now}
--- include partition

touch()
local field = simulated == 1 and 'vtime' or 'offset'
local step = to - tonumber(rcall('HGET', meta_key, field) or '0')
if step > 0 then
  rcall('HSET', meta_key, field, to)
  rcall('HDEL', meta_key, 'wake')
  rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'bell', server_now)
end
return { 'ok', now + math.max(step, 0) }
