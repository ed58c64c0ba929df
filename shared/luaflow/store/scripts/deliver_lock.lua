-- deliver_lock: a run asks for a lock, or for a slot to run in: it gets it, stands in line, or is refused.
-- KEYS meta lock held line leases mark outbox ousted
-- ARGV server sender number:int sender_epoch:int oldest:int read_on member who limit:int room:int yes no ousts:int oust receiver cancel
-- member: <partition>|<run id>|<seq>; who: its workflow id; room: how many may stand in line with it
-- (0: it does not wait). yes, no: complete answers for the sender's outbox
-- ousts 1: when there is no room, the oldest that was not asked yet is asked to make some; oust: who
-- that was when it was read ('' = nobody); receiver, cancel: the message that does
-- Returns {'ok', receivers…} | {'duplicate'} | {'gap'} | {'moved', '', '', ''}
--- include partition
--- include arrival
--- include outbox

local verdict = arrival()
if verdict then return { verdict } end
local holding, waiting = rcall('ZCARD', held_key), rcall('ZCARD', line_key)
local known = rcall('HEXISTS', lock_key, 'i:' .. member) == 1
local free = holding < limit and waiting == 0
local theirs
if ousts == 1 and not free and not known then
  -- who makes room is asked in the order of the requests: all up to number `x` were
  local behind = '(' .. (rcall('HGET', lock_key, 'x') or '0')
  local first = rcall('ZRANGEBYSCORE', held_key, behind, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then
    first = rcall('ZRANGEBYSCORE', line_key, behind, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  end
  -- somebody else may be the one by now
  if (first[1] or '') ~= oust then return { 'moved', '', '', '' } end
  theirs = first[2]
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
  -- (nobody waits, so nobody would find out that who has it is gone: see ghosts)
  rcall('HSET', meta_key, 'denied', lock_key)
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
rcall('HSET', lock_key, 'x', theirs)
post(ousted_key, receiver, cancel)
return { 'ok', receiver }
