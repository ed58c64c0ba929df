-- commit: writes one decision – what was seen, what the code asks for – whole or not at all.
-- mode plain: the task was taken; fused: the results of eager activities and the decision on them.
-- KEYS meta wf run hist pend leases timers vis gc others...
-- ARGV server run_id cid turn:int seen:int worker mode sticky sticky_ms more decision results:int ops...
-- TYPES leases others...
-- sticky_ms: how long the worker's own queue may keep a task of the run; 0: as the namespace says
-- more 1: the decision was full, the code goes on at once in the next one; the worker keeps the task.
-- results times {seq, token, type, body, ts}, then the operations of includes/operations.lua
-- Returns {'ok', turn, before, len, now, keep, late events} | {'closed'} | {'turn'} | {'behind'} |
--   {'token'} | {'ts'} | {'messages', late events} | {'gone'}
--- include partition
--- include run
--- include forget
--- include decide
--- include decided
--- include lend
--- include operations

local r = load_decided()
local refusal = admit(r)
if refusal then return refusal end
local i, floor, light = ops, r.ts, true
for _ = 1, results do
  local text, ts = rcall('HGET', pend_key, 'a:' .. ARGV[i]) or '', tonumber(ARGV[i + 4])
  local state, attempt, token = string.match(text, '^(%l)|(%d+)|([^|]*)')
  if token ~= ARGV[i + 1] or (state ~= 'r' and state ~= 'c') then return { 'token' } end
  if ts < floor or ts > now then return { 'ts' } end
  floor, i, light = ts, i + 5, light and attempt == '01'
end
local late, messages = late_events(r, 500)
local news = r.len - seen
local closing = ARGV[#ARGV] == 'close'
if closing and messages > 0 then
  local told = rcall('HMGET', run_key, 'told', 'told_len', 'refused')
  if told[1] == cid then
    -- the answer was lost: it is given again, as it was, and the refusal does not count twice
    r.len = tonumber(told[2])
    return { 'messages', (late_events(r, 500)) }
  end
  touch()
  local refused = tonumber(told[3] or 0)
  rcall('HSET', run_key, 'refused', refused + 1, 'shut', refused >= 2 and '1' or '0', 'told', cid,
    'told_len', r.len)
  set_lease('w|' .. run_id, server_now + lease_ms)
  return { 'messages', late }
end

-- the usual step: one activity more, with nothing in it for the other keys
local step = light and i + 8 == #ARGV and ARGV[i + 8] == '0' and (ARGV[i] == 'L' or ARGV[i] == 'A')
if results == 0 then rcall('HLEN', pend_key) end
if closing or r.sticky ~= sticky then rcall('HLEN', wf_key) end
if not step then
  rcall('ZCARD', timers_key)
  rcall('ZCARD', vis_key)
  rcall('ZCARD', gc_key)
end
touch()
local before = r.len
i = ops
for _ = 1, results do
  -- the event first: should the server refuse it, the activity is still there
  append(r, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  if not step then forget_activity(ARGV[i], light) end
  i = i + 5
end
r.decided = mode == 'fused' and r.len or seen
append(r, 'WorkflowTaskCompleted', decision)
r.news, r.task = news, ''
if r.sticky ~= sticky and not closing then rcall('HSET', wf_key, 'sticky', sticky) end
run_operations(r, i)
if step then
  -- (behind the new one: the hash never becomes empty, and need not be made anew)
  for n = ops, i - 1, 5 do forget_activity(ARGV[n], true) end
end
local keep = r.news > 0 or more == '1'
if r.status == 'running' then
  if keep then
    -- never leave news without a task: the worker goes on with it, under a new turn
    r.turn, r.task = r.turn + 1, 'taken'
    lend(rcall('HGET', run_key, 'limit'))
  elseif mode == 'plain' then
    rcall('ZREM', leases_key, 'w|' .. run_id)
  end
end
local answer = table.concat({ r.turn, before, r.len, stamp, keep and 1 or 0 }, '|')
save_decided(r, answer, keep)
if mode == 'plain' then settle_decided() end
return { 'ok', r.turn, before, r.len, now, keep and 1 or 0, late }
