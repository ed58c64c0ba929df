-- start_jobs: plain jobs of one partition and queue; one whose id is there already stays as it is.
-- KEYS meta jobs leases timers stream any...
-- ARGV server queue options s2c:int hb:int s2s:int s2e:int delay:int ttl:int list...
-- any: the hash of each job; list: of each its id, the run id its client chose, activity, what to do
-- options: JSON as of activities ('' = none); ttl: ms for which an outcome is kept
-- Returns {'ok', 1 (started) or 0 (it was there) for each job …} | {'full', percent} (nothing started)
--- include partition
--- include activity

local answers, new, seen = { 'ok' }, {}, {}
for i = list, #ARGV, 4 do
  local key = KEYS[6 + (i - list) / 4]
  local there = seen[key] or rcall('HGET', key, 'rid')
  if not there then new[#new + 1] = i end
  -- the client chose the run id: a repeat finds its own job
  answers[#answers + 1] = (not there or there == ARGV[i + 1]) and 1 or 0
  seen[key] = there or ARGV[i + 1]
end
if #new == 0 then return answers end
local full = rcall('HGET', meta_key, 'full')
if full then return { 'full', full } end
touch()
local open = {}
local a = {
  state = delay > 0 and 'b' or 'q', attempt = 1, token = '', worker = '', started = server_now, event = 0,
  scheduled = server_now, s2c = s2c, hb = hb, beat = server_now
}
for n = 1, #new do
  local i = new[n]
  local id, member = ARGV[i], '|j:' .. ARGV[i] .. '|1'
  if delay > 0 then
    set_timer('r' .. member, now + delay)
  else
    a.token = rcall('XADD', stream_key, '*', 'r', 'j:' .. id, 'w', id, 's', 1, 'n', 1)
    if s2s > 0 then set_lease('s' .. member, server_now + s2s) end
  end
  if s2e > 0 then set_timer('c' .. member, now + s2e) end
  rcall('HSET', KEYS[6 + (i - list) / 4], 'wid', id, 'rid', ARGV[i + 1], 'status', 'running', 'queue', queue,
    'name', ARGV[i + 2], 'start', now, 'ttl', ttl, 'o:1', options, 'e:1', ARGV[i + 3], 'a:1', spell_activity(a))
  open[2 * n - 1], open[2 * n] = server_now, id
end
rcall('ZADD', jobs_key, (unpack or table.unpack)(open))
return answers
