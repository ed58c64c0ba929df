-- forget_messages: delivered messages leave the outbox; an empty one is looked after no more.
-- KEYS meta outbox leases
-- ARGV server receiver numbers...
-- Returns {'ok', left}
--- include partition

touch()
for i = numbers, #ARGV do rcall('XDEL', outbox_key, ARGV[i] .. '-0') end
local left = rcall('XLEN', outbox_key)
if left == 0 then
  rcall('ZREM', leases_key, 'o|' .. receiver)
else
  set_lease('o|' .. receiver, server_now + 1000)
end
return { 'ok', left }
