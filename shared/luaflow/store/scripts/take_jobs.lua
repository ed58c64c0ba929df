-- take_jobs: starts attempts of plain jobs of one queue: what take_activity does, for many.
-- KEYS meta leases stream any...
-- ARGV server worker list...
-- any: the hash of each job; list: of each its id, attempt, token and the entry of its task
-- Returns {'ok', now, for each job …}: {what to do, options JSON, heartbeat details, attempt,
--   scheduled, start_to_close, heartbeat, the moment reserved for it by rate limits} | 'gone'
--- include partition
--- include activity

local found, entries, taken = {}, {}, {}
for i = list, #ARGV, 4 do
  local n = (i - list) / 4 + 1
  found[n] = rcall('HMGET', KEYS[3 + n], 'status', 'a:1', 'e:1', 'o:1', 'h:1', 'p:1')
  entries[n] = ARGV[i + 3]
end
touch()
rcall('XACK', stream_key, 'w', (unpack or table.unpack)(entries))
rcall('XDEL', stream_key, (unpack or table.unpack)(entries))
local answers, watched, unwatched, first = { 'ok', server_now }, {}, {}, math.huge
for i = list, #ARGV, 4 do
  local n = (i - list) / 4 + 1
  local v, key, member = found[n], KEYS[3 + n], '|j:' .. ARGV[i] .. '|1'
  -- (it may be there twice, where a task was queued again that was not lost)
  local a = not taken[key] and parse_activity(v[2])
  -- the same token again: the answer to the first call was lost
  local again = a and a.token == ARGV[i + 2] and (a.state == 'r' or a.state == 'c')
  if v[1] ~= 'running' or not a or a.attempt ~= tonumber(ARGV[i + 1]) or (a.state ~= 'q' and not again) then
    answers[#answers + 1] = 'gone'
  else
    if not again then
      a.state, a.token, a.worker, a.started, a.beat = 'r', ARGV[i + 2], worker, server_now, server_now
      rcall('HSET', key, 'a:1', spell_activity(a))
      unwatched[#unwatched + 1] = 's' .. member
    end
    taken[key] = true
    local due = late(a)
    watched[#watched + 1], watched[#watched + 2] = due, 'a' .. member
    first = math.min(first, due)
    answers[#answers + 1] = { v[3], v[4], v[5], a.attempt, a.scheduled, a.s2c, a.hb, v[6] }
  end
end
if #unwatched > 0 then rcall('ZREM', leases_key, (unpack or table.unpack)(unwatched)) end
if #watched > 0 then rcall('ZADD', leases_key, (unpack or table.unpack)(watched)) end
ring(first)
return answers
