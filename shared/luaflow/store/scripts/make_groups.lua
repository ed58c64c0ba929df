-- make_groups: makes the consumer groups of task streams, and the streams; those that exist stay. Also
-- when memory is out: one read names many streams, and is refused when one of them has no group.
-- KEYS streams...
-- ARGV server
-- Returns {'ok', groups made}

typed()
local made = 0
for i = streams, #KEYS do
  -- the one refusal that is left: there is such a group
  local answer = redis.pcall('XGROUP', 'CREATE', KEYS[i], 'w', '0', 'MKSTREAM')
  if not answer.err then made = made + 1 end
end
return { 'ok', made }
