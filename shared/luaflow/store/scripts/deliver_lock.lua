-- deliver_lock: a run asks for a lock, or for a slot to run in: it gets it, stands in line, or is refused.
-- KEYS meta lock held line leases mark outbox ousted
-- ARGV server sender number:int sender_epoch:int oldest:int member who limit:int room:int yes no there:int oust receiver cancel
-- member: <partition>|<run id>|<seq>; who: its workflow id; room: how many may stand in line with it
-- (0: it does not wait). yes, no: complete answers for the sender's outbox
-- there: how many hold and wait, as it was read (-1: no matter); oust: who of them is asked to make
-- room when there is none ('' = nobody); receiver, cancel: the message that does
-- Returns {'ok', receivers…} | {'duplicate'} | {'gap'} | {'moved', '', '', ''}
--- include partition
--- include arrival
--- include outbox

local verdict = arrival()
if verdict then return { verdict } end
local holding, waiting = rcall('ZCARD', held_key), rcall('ZCARD', line_key)
local known = rcall('HEXISTS', lock_key, 'i:' .. member) == 1
local free = holding < limit and waiting == 0
local asked = rcall('HMGET', lock_key, 'i:' .. oust, 'x:' .. oust)
local stale = there ~= holding + waiting or (oust ~= '' and (not asked[1] or asked[2]))
if there >= 0 and not free and not known and stale then
  -- somebody else may be the one to make room
  return { 'moved', '', '', '' }
end
touch()
arrived()
if known then
  -- it asks again: its primary lost that it did, and the answer may have come before it asked anew
  if not rcall('ZSCORE', held_key, member) then return { 'ok' } end
  post(outbox_key, sender, yes)
  return { 'ok', sender }
end
if not free and waiting >= room then
  post(outbox_key, sender, no)
  return { 'ok', sender }
end
local ticket = rcall('HINCRBY', lock_key, 'n', 1)
rcall('HSET', lock_key, 'i:' .. member, who)
if free then
  rcall('ZADD', held_key, ticket, member)
  post(outbox_key, sender, yes)
  return { 'ok', sender }
end
rcall('ZADD', line_key, ticket, member)
rcall('HINCRBY', meta_key, 'waiting', 1)
rcall('HSET', lock_key, 'w:' .. member, limit .. '|' .. yes)
if oust == '' then return { 'ok' } end
rcall('HSET', lock_key, 'x:' .. oust, 1)
post(ousted_key, receiver, cancel)
return { 'ok', receiver }
