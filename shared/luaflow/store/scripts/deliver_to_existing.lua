-- deliver_to_existing: a run asks for a child whose workflow id is at work: it takes that run, which gets
-- the startup messages. It becomes nobody's child: the answer is all that its new acquaintance hears.
-- KEYS meta wf run hist leases timers tq sticky mark outbox
-- ARGV server sender number:int sender_epoch:int oldest:int read_on run_id queue sticky yes messages...
-- Returns {'ok', reply number, epoch} | {'duplicate'} | {'gap'} | {'busy'} | {'moved', run, queue, sticky}
--- include partition
--- include arrival
--- include tell
--- include outbox

local verdict = arrival()
if verdict then return { verdict } end
local current = rcall('HMGET', wf_key, 'run', 'queue', 'sticky', 'status')
-- (whoever finds it closed is sent back to look again, and starts the child)
if current[1] ~= run_id or current[4] ~= 'running' then
  return { 'moved', current[1] or '', current[2] or '', current[3] or '' }
end
local r = load_told()
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
if r.shut and messages < #ARGV then return { 'busy' } end
touch()
for i = messages, #ARGV, 2 do tell(r, ARGV[i], ARGV[i + 1]) end
local n = post(outbox_key, sender, yes)
arrived()
return { 'ok', n, epoch }
