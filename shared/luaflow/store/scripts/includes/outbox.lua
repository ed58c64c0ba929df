-- Puts a message to another partition (or this one) into its outbox (design 5.6): dense numbers a
-- receiver, the epoch it was written under, and a date on which a scheduler looks after it.
local function post(outbox, receiver, message)
  local n = rcall('HINCRBY', meta_key, 'out:' .. receiver, 1)
  rcall('XADD', outbox, string.format('%d-0', n), 'e', epoch, 'm', message)
  local due = server_now + 1000
  if rcall('ZADD', leases_key, 'NX', due, 'o|' .. receiver) == 1 then ring(due) end
  return n
end
