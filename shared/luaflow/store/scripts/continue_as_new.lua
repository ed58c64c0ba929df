-- continue_as_new: closes a run and opens the next one of its workflow id, in one step; messages that
-- nobody took are carried over: those named (up to `seen`), and all after `seen`. Never refused.
-- More than 500 of them: the run is `continuing` from here on, and continue_slice does the rest.
-- A run that failed and is tried again, and one whose cron goes on, ends so, too: `ended` and `kind` are
-- then its status and its last event, and the next run begins `at` (see includes/next.lua).
-- KEYS meta wf run hist pend leases timers vis gc tq newrun newhist sticky newpend
-- ARGV server run_id cid turn:int seen:int worker mode decision closing next_run type queue bundle attempt:int run_timeout:int started ended kind at:int index attrs carried:int rest...
-- rest: `carried` event ids of unread messages; then operations (see commit)
-- Returns {'ok', …} as commit does | its refusals | {'full'} (see head_room)
--- include partition
--- include run
--- include activity
--- include outbox
--- include visible
--- include close
--- include decide
--- include operations
--- include next

local r = load_run()
local refusal = admit(r)
if refusal then return refusal end
-- no memory for the next turn of a chain: it is decided again later; code that continues as new goes on
if ended ~= 'continued_as_new' and rcall('HGET', meta_key, 'full') then return { 'full' } end
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
local before = r.len
local n = {
  next = next_run, type = type, bundle = bundle, attempt = attempt, run_timeout = run_timeout,
  started = started, closing = closing, ended = ended, kind = kind, at = begins(at), index = index,
  attrs = attrs
}
r.decided = seen
append(r, 'WorkflowTaskCompleted', decision)
run_operations(r, rest + carried)
if not sliced then
  for _, m in ipairs(r.own or {}) do list[#list + 1] = m end
end
-- the answer says what the history has with the closing event, where that is written at once
local len = sliced and r.len or r.len + 1
rcall('HSET', run_key, 'cid', cid, 'ans', table.concat({ r.turn, before, len, now, 0 }, '|'))
if sliced then
  r.news = before - seen
  pass_in_slices(r, n, carried > 0 and table.concat(ARGV, ',', rest, rest + carried - 1) or '', seen)
else
  pass_on(r, n, list)
end
return { 'ok', r.turn, before, r.len, now, 0, {} }
