-- start: opens the first run of a workflow id, as the id policies allow (contract section 8).
-- KEYS meta wf run hist pend tq sess vis timers leases box...
-- ARGV server session request:int lowest:int asked run_id workflow_id type queue bundle parent conflict reuse attempt:int delay:int run_timeout:int deadline:int at:int limit:int index attrs gate:int slot receiver ask started messages...
-- TYPES hist tq vis
-- messages: type, body, type, body …; deadline and at are namespace time in ms, relative when negative
-- conflict: fail | use_existing | terminate_existing: what else there is to do, the caller does
-- Returns {'started', run id, now} (of a repeated `asked` the run that it got) | {'running', run id} |
--   {'exists', run id, status} | {'full', percent} (see head_room; a run that is to end for the new
--   one goes on)
-- gate, slot, receiver, ask: what its first task waits for (see open); box: the outbox for `ask`
--- include partition
--- include session
--- include asked
--- include run
--- include visible
--- include open

local _, got = done_before()
if got then return { 'started', got, now } end
-- the client chose the run id: a repeat finds its own run, whatever the id's present state is
if repeated() or rcall('HEXISTS', run_key, 'wid') == 1 then return { 'started', run_id, now } end
local full = rcall('HGET', meta_key, 'full')
local old = rcall('HMGET', wf_key, 'run', 'status')
if old[1] then
  if old[2] == 'running' then
    if full and conflict == 'terminate_existing' then return { 'full', full } end
    if conflict == 'use_existing' and messages > #ARGV and asked ~= '' then
      -- nothing is to be handed over: it is done
      touch()
      note(0, old[1])
    end
    return { conflict == 'fail' and 'exists' or 'running', old[1], old[2] }
  end
  if reuse == 'reject_duplicate' or (reuse == 'allow_duplicate_failed_only' and old[2] == 'completed') then
    return { 'exists', old[1], old[2] }
  end
end
if full then return { 'full', full } end
if run_timeout > 0 or deadline ~= 0 or at ~= 0 or delay > 0 or gate > 0 or slot ~= '' then
  rcall('HLEN', pend_key)
  rcall('ZCARD', timers_key)
  rcall('ZCARD', leases_key)
  if KEYS[box] then rcall('XLEN', KEYS[box]) end
end
touch()
local list = {}
for i = messages, #ARGV, 2 do list[#list + 1] = { ARGV[i], ARGV[i + 1] } end
open_run({
  wid = workflow_id, first = run_id, type = type, queue = queue, bundle = bundle, parent = parent, attempt = attempt,
  delay = #list == 0 and delay or 0, run_timeout = run_timeout, at = at, index = index, attrs = attrs, limit = limit,
  deadline = deadline < 0 and now - deadline or deadline, gate = gate, slot = slot, receiver = receiver, ask = ask,
  box = KEYS[box]
}, started, list)
remember()
note(1, run_id)
return { 'started', run_id, now }
