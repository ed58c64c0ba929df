-- forget_messages: delivered messages leave the outbox; an empty one is looked after no more.
-- KEYS meta outbox leases
-- ARGV server receiver read_epoch:int delivered...
-- read_epoch: the epoch of this partition when they were read (0: not known). Another one by now: they may
-- have been delivered to the primary before, and that with it; they stay, and are delivered again
-- delivered: number and epoch of each: a fail-over that lost the end of the outbox gives a number again,
-- and whoever delivered the first one knows nothing of the second
-- Returns {'ok', left, epoch, server}
--- include partition

touch()
if read_epoch == 0 or read_epoch == epoch then
  for i = delivered, #ARGV, 2 do
    local id = ARGV[i] .. '-0'
    local entry = rcall('XRANGE', outbox_key, id, id)[1]
    if entry and entry[2][2] == ARGV[i + 1] then rcall('XDEL', outbox_key, id) end
  end
end
local left = rcall('XLEN', outbox_key)
if left == 0 then
  rcall('ZREM', leases_key, 'o|' .. receiver)
else
  set_lease('o|' .. receiver, server_now + 1000)
end
return { 'ok', left, epoch, server }
