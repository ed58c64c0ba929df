-- start_jobs: plain jobs of one partition and queue; one whose id is there already stays as it is.
-- KEYS meta jobs leases timers stream any...
-- ARGV server queue options s2c:int hb:int s2s:int s2e:int delay:int ttl:int list...
-- any: the hash of each job; list: of each its id, the run id its client chose, activity, what to do
-- options: JSON as of activities ('' = none); ttl: ms for which an outcome is kept
-- Returns {'ok', 1 (started) or 0 (it was there) for each job …} | {'full', percent} (nothing started)
local pend_key, run_id
--- include partition
--- include activity

local started, fresh = { 'ok' }, 0
for i = list, #ARGV, 4 do
  local there = rcall('HGET', KEYS[6 + (i - list) / 4], 'rid')
  -- the client chose the run id: a repeat finds its own job
  started[#started + 1] = (not there or there == ARGV[i + 1]) and 1 or 0
  if not there then fresh = fresh + 1 end
end
if fresh == 0 then return started end
local full = rcall('HGET', meta_key, 'full')
if full then return { 'full', full } end
touch()
for i = list, #ARGV, 4 do
  pend_key, run_id = KEYS[6 + (i - list) / 4], 'j:' .. ARGV[i]
  if rcall('HEXISTS', pend_key, 'rid') == 0 then
    local state, entry = 'b', ''
    if delay > 0 then
      set_timer('r|' .. run_id .. '|1', now + delay)
    else
      state = 'q'
      entry = rcall('XADD', stream_key, '*', 'r', run_id, 'w', ARGV[i], 's', 1, 'n', 1)
      if s2s > 0 then set_lease('s|' .. run_id .. '|1', server_now + s2s) end
    end
    rcall('HSET', pend_key, 'wid', ARGV[i], 'rid', ARGV[i + 1], 'status', 'running', 'queue', queue,
      'name', ARGV[i + 2], 'start', now, 'ttl', ttl, 'o:1', options, 'e:1', ARGV[i + 3])
    save_activity('1', { state = state, attempt = 1, token = entry, worker = '', started = server_now,
      event = 0, scheduled = server_now, s2c = s2c, hb = hb, beat = server_now })
    if s2e > 0 then set_timer('c|' .. run_id .. '|1', now + s2e) end
    rcall('ZADD', jobs_key, server_now, ARGV[i])
  end
end
return started
