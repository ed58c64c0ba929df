-- continue_as_new: closes a run and opens the next one of its workflow id, in one step; messages that
-- nobody took are carried over: those named (up to `seen`), and all after `seen`. Never refused.
-- More than 500 of them: the run is `continuing` from here on, and continue_slice does the rest.
-- KEYS meta wf run hist pend leases timers vis gc tq newrun newhist sticky newpend
-- ARGV server run_id cid turn:int seen:int worker mode decision closing next_run type queue bundle attempt:int run_timeout:int started carried:int rest...
-- rest: `carried` event ids of unread messages; then operations (see commit)
-- Returns {'ok', …} as commit does | its refusals
--- include partition
--- include run
--- include activity
--- include outbox
--- include visible
--- include close
--- include decide
--- include operations
--- include open

local r = load_run()
local refusal = admit(r)
if refusal then return refusal end
local late, messages = late_events(r, 501)
local sliced = r.len - seen > 500 or carried + messages > 500
local list = {}
local function carry(e)
  if MESSAGE[e[2][4]] then list[#list + 1] = { e[2][4], e[2][6] } end
end
if not sliced then
  for i = rest, rest + carried - 1 do
    local id = ARGV[i] .. '-0'
    carry(rcall('XRANGE', hist_key, id, id)[1])
  end
  for _, e in ipairs(late) do carry(e) end
end
touch()
local before, parent = r.len, r.parent
local deadline = rcall('ZSCORE', timers_key, 'X|' .. run_id)
r.decided = seen
append(r, 'WorkflowTaskCompleted', decision)
run_operations(r, rest + carried)
if not sliced then
  for _, m in ipairs(r.own or {}) do list[#list + 1] = m end
  hand_slot_on(newpend_key)
  close_run(r, 'continued_as_new', 'WorkflowExecutionContinuedAsNew', closing)
end
rcall('HSET', run_key, 'cid', cid, 'next', next_run, 'ans',
  table.concat({ r.turn, before, r.len, now, 0 }, '|'))
if sliced then
  r.news, r.task, r.entry = before - seen, 'continuing', ''
  if r.sticky ~= '' then rcall('HSET', wf_key, 'sticky', '') end
  r.sticky = ''
  rcall('HDEL', run_key, 'refused', 'shut', 'lost', 'fails', 'stuck', 'unread')
  rcall('HSET', pend_key, 'n:next', next_run, 'n:slices', 0, 'n:from', 1, 'n:at', seen, 'n:len', 0,
    'n:size', 0, 'n:started', started, 'n:closing', closing, 'n:type', type, 'n:bundle', bundle,
    'n:attempt', attempt, 'n:run_timeout', run_timeout)
  if carried > 0 then
    rcall('HSET', pend_key, 'n:unread', table.concat(ARGV, ',', rest, rest + carried - 1))
  end
  rcall('ZREM', leases_key, 'w|' .. run_id)
  set_lease('n|' .. run_id, server_now)
  save_run(r)
  return { 'ok', r.turn, before, r.len, now, 0, {} }
end
-- the next run has the same place in the world: its parent, its execution deadline
run_id, run_key, hist_key = next_run, newrun_key, newhist_key
open_run({
  wid = r.wid, first = r.first, type = type, queue = queue, bundle = bundle, parent = parent, attempt = attempt, delay = 0,
  run_timeout = run_timeout, deadline = tonumber(deadline or '0')
}, started, list)
return { 'ok', r.turn, before, r.len, now, 0, {} }
