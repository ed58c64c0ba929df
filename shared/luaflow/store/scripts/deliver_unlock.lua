-- deliver_unlock: a run gives a lock back, or its place in line; who is first in line gets what is free.
-- KEYS meta lock held line leases mark own outboxes...
-- ARGV server sender number:int sender_epoch:int oldest:int read_on member here again receivers...
-- member '': nobody gives anything back, the line is looked at again. outboxes and receivers are those
-- of the first in line, as it was read; where the first one's is not among them, the message `again`
-- to this partition (`here`, own) has the line looked at once more
-- Returns {'ok', receivers…} | {'duplicate'} | {'gap'}
--- include partition
--- include arrival
--- include outbox

local verdict = arrival()
if verdict then return { verdict } end
local declared, told = {}, { 'ok' }
for i = receivers, #ARGV do declared[ARGV[i]] = KEYS[outboxes + i - receivers] end
touch()
arrived()
if member == '' then
  rcall('HDEL', lock_key, 'again')
else
  rcall('ZREM', held_key, member)
  local left = rcall('ZREM', line_key, member)
  if left == 1 then rcall('HINCRBY', meta_key, 'waiting', -1) end
  rcall('HDEL', lock_key, 'i:' .. member, 'w:' .. member)
end
local holding = rcall('ZCARD', held_key)
for granted = 1, 50 do
  local first = rcall('ZRANGE', line_key, 0, 0, 'WITHSCORES')
  local text = first[1] and rcall('HGET', lock_key, 'w:' .. first[1])
  if not text then break end
  local limit, yes = string.match(text, '^(%d+)|(.*)$')
  if holding >= tonumber(limit) then break end
  local receiver = string.match(first[1], '^%d+')
  if granted == 50 or not declared[receiver] then
    if rcall('HSETNX', lock_key, 'again', 1) == 1 then
      post(own_key, here, again)
      told[#told + 1] = here
    end
    break
  end
  rcall('ZREM', line_key, first[1])
  rcall('HINCRBY', meta_key, 'waiting', -1)
  rcall('HDEL', lock_key, 'w:' .. first[1])
  rcall('ZADD', held_key, first[2], first[1])
  post(declared[receiver], receiver, yes)
  holding, told[#told + 1] = holding + 1, receiver
end
if holding == 0 and rcall('ZCARD', line_key) == 0 then rcall('DEL', lock_key, held_key, line_key) end
return told
