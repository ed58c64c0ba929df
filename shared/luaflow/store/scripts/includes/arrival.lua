-- Does a message from another partition count (design 5.6)? One mark a pair of partitions.
-- Uses ARGV sender, number, sender_epoch, oldest (the sender's oldest undeleted number, 0: unknown), and
-- read_on: the run id of the server that the message was read on ('' = not known). The server may be
-- another one by now, which does not know of it: whoever brings it reads again. (On a cluster the
-- partitions are on several, named ~…: there is nothing to compare.)
local function arrival()
  if read_on ~= '' and read_on ~= server and string.byte(server) ~= 126 then return 'gap' end
  local m = rcall('HMGET', mark_key, 'e', 'n')
  local e, n = tonumber(m[1] or sender_epoch), tonumber(m[2] or '0')
  if sender_epoch < e then return 'duplicate' end
  if sender_epoch == e and number <= n then return 'duplicate' end
  if number == oldest or (sender_epoch == e and number == n + 1) then return nil end
  return 'gap'
end

local function arrived()
  rcall('HSET', mark_key, 'e', sender_epoch, 'n', number)
end
