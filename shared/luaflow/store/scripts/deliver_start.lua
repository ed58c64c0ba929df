-- deliver_start: a run starts a child here; its parent gets exactly one answer.
-- KEYS meta wf run hist pend tq vis timers leases mark outbox box...
-- ARGV server sender number:int sender_epoch:int oldest:int read_on run_id workflow_id type queue bundle parent conflict reuse delay:int run_timeout:int deadline:int at:int limit:int index attrs gate:int slot receiver ask yes no started messages...
-- conflict: fail, or what else is done to a run that has the workflow id (use_existing, terminate_existing)
-- gate, slot, receiver, ask: what its first task waits for (see open); box: the outbox for `ask`
-- Returns {'ok', reply number, epoch} | {'no', reply number, epoch} | {'duplicate'} | {'gap'} |
--   {'moved', run, queue, sticky}: there is a run to be dealt with first
--- include partition
--- include arrival
--- include run
--- include outbox
--- include visible
--- include open

local verdict = arrival()
if verdict then return { verdict } end
local old = rcall('HMGET', wf_key, 'run', 'status', 'queue', 'sticky')
if old[2] == 'running' and conflict ~= 'fail' then return { 'moved', old[1], old[3], old[4] } end
local taken = old[2] == 'running' or (old[2] and reuse == 'reject_duplicate')
  or (reuse == 'allow_duplicate_failed_only' and old[2] == 'completed')
touch()
if taken then
  local n = post(outbox_key, sender, no)
  arrived()
  return { 'no', n, epoch }
end
local list = {}
for i = messages, #ARGV, 2 do list[#list + 1] = { ARGV[i], ARGV[i + 1] } end
open_run({
  wid = workflow_id, first = run_id, type = type, queue = queue, bundle = bundle, parent = parent, attempt = 1,
  delay = #list == 0 and delay or 0, run_timeout = run_timeout, at = at, index = index, attrs = attrs, limit = limit,
  deadline = deadline < 0 and now - deadline or deadline, gate = gate, slot = slot, receiver = receiver, ask = ask,
  box = KEYS[box]
}, started, list)
local n = post(outbox_key, sender, yes)
arrived()
return { 'ok', n, epoch }
