--- Queues of channels: values, and the coroutines that wait for them; first in, first out.
-- A waiter that leaves is marked `gone` and dropped later: thousands that leave at once cost no
-- search each. The first and the last of a queue of waiters are always there; `left` counts the
-- ones in between that are not.
local K = ...

local Q = {}
K.queues = Q

--- What stands for a queue that nothing was added to yet: most channels need one of their three.
Q.none = {first = 1, last = 0}
local none = Q.none

--- Add to the queue that `owner` has under `name`; returns it.
function Q.add(owner, name, item)
  local q = owner[name]
  if q == none then
    q = {item, first = 1, last = 1}
    owner[name] = q
  else
    local last = q.last + 1
    q.last = last
    q[last] = item
  end
  return q
end

--- The first item of a queue that has one.
function Q.take(q)
  local first = q.first
  local item = q[first]
  q[first] = nil
  if first == q.last then
    -- an empty queue starts over, so that its slots are used again
    q.first, q.last = 1, 0
  else
    q.first = first + 1
  end
  return item
end
local take = Q.take

-- Drop those that are gone from both ends.
local function trim(q)
  local first, last, left = q.first, q.last, q.left or 0
  while first <= last and q[first].gone do
    q[first] = nil
    first, left = first + 1, left - 1
  end
  while last >= first and q[last].gone do
    q[last] = nil
    last, left = last - 1, left - 1
  end
  q.first, q.last, q.left = first, last, left
end

--- The first waiter of a queue that has one.
function Q.take_waiter(q)
  local waiter = take(q)
  local following = q[q.first]
  if following and following.gone then trim(q) end
  return waiter
end

-- Move those still there together.
local function compact(q)
  local n = q.first - 1
  for i = q.first, q.last do
    local waiter = q[i]
    q[i] = nil
    if not waiter.gone then
      n = n + 1
      q[n] = waiter
    end
  end
  q.last, q.left = n, 0
end

--- Take a waiter out of its queue, wherever it stands.
function Q.remove(waiter)
  local q = waiter.queue
  waiter.gone = true
  q.left = (q.left or 0) + 1
  if q[q.first] == waiter or q[q.last] == waiter then return trim(q) end
  if q.left > 32 and q.left * 2 > q.last - q.first then compact(q) end
end
