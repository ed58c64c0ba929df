-- commit: writes one decision – what was seen, what the code asks for – whole or not at all.
-- mode plain: the task was taken; fused: the results of eager activities and the decision on them.
-- KEYS meta wf run hist pend leases timers vis gc others...
-- ARGV server run_id cid turn:int seen:int worker mode sticky sticky_ms:int more:int decision results:int ops...
-- sticky_ms: how long the worker's own queue may keep a task of the run; 0: as the namespace says
-- more 1: the decision was full, the code goes on at once in the next one; the worker keeps the task.
-- results times {seq, token, type, body, ts}, then the operations of includes/operations.lua
-- Returns {'ok', turn, before, len, now, keep, late events} | {'closed'} | {'turn'} | {'behind'} |
--   {'token'} | {'ts'} | {'messages', late events} | {'gone'}
--- include partition
--- include run
--- include activity
--- include outbox
--- include visible
--- include close
--- include decide
--- include lend
--- include operations

local r = load_run()
local refusal = admit(r)
if refusal then return refusal end
local i, floor = ops, r.ts
for _ = 1, results do
  local a, ts = load_activity(ARGV[i]), tonumber(ARGV[i + 4])
  if not a or a.token ~= ARGV[i + 1] or (a.state ~= 'r' and a.state ~= 'c') then return { 'token' } end
  if ts < floor or ts > now then return { 'ts' } end
  floor, i = ts, i + 5
end
local late, messages = late_events(r, 500)
local news = r.len - seen
local closing = ARGV[#ARGV] == 'close'
if closing and messages > 0 then
  local told = rcall('HMGET', run_key, 'told', 'told_len')
  if told[1] == cid then
    -- the answer was lost: it is given again, as it was, and the refusal does not count twice
    r.len = tonumber(told[2])
    return { 'messages', (late_events(r, 500)) }
  end
  touch()
  rcall('HSET', run_key, 'refused', r.refused + 1, 'shut', r.refused >= 2 and '1' or '0', 'told', cid,
    'told_len', r.len)
  set_lease('w|' .. run_id, server_now + lease_ms)
  return { 'messages', late }
end

touch()
local before = r.len
i = ops
for _ = 1, results do
  -- the event first: should the server refuse it, the activity is still there
  append(r, ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4]))
  forget_activity(ARGV[i])
  i = i + 5
end
r.decided = mode == 'fused' and r.len or seen
append(r, 'WorkflowTaskCompleted', decision)
r.news, r.task, r.entry = news, '', ''
if r.sticky ~= sticky and not closing then rcall('HSET', wf_key, 'sticky', sticky) end
r.sticky, r.worker = sticky, worker
if sticky_ms ~= r.patience then rcall('HSET', run_key, 'patience', sticky_ms) end
run_operations(r, i)
local keep = r.news > 0 or more == 1
if r.status == 'running' then
  if keep then
    -- never leave news without a task: the worker goes on with it, under a new turn
    r.turn, r.task = r.turn + 1, 'taken'
    lend(r.due_task and rcall('HGET', run_key, 'limit'))
  elseif mode == 'plain' then
    rcall('ZREM', leases_key, 'w|' .. run_id)
  end
  save_run(r)
end
rcall('HSET', run_key, 'cid', cid, 'ans', table.concat({ r.turn, before, r.len, now, keep and 1 or 0 }, '|'))
if r.refused > 0 or r.shut or r.lost > 0 or r.fails > 0 then
  rcall('HDEL', run_key, 'refused', 'shut', 'lost', 'fails', 'stuck')
end
return { 'ok', r.turn, before, r.len, now, keep and 1 or 0, late }
