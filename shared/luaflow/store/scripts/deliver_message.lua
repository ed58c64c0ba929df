-- deliver_message: a message another run sent (signal, cancel request) reaches its run.
-- KEYS meta wf run hist leases timers tq sticky mark outbox
-- ARGV server sender number:int sender_epoch:int oldest:int read_on run_id queue sticky type body yes no
-- run_id '' : there is no such workflow. yes/no: complete answers for the sender's outbox, '' = none
-- Returns {'ok', reply number, epoch} | {'duplicate'} | {'gap'} | {'busy'} | {'moved', run, queue, sticky}
--- include partition
--- include arrival
--- include tell
--- include outbox

local verdict = arrival()
if verdict then return { verdict } end
local current = rcall('HMGET', wf_key, 'run', 'queue', 'sticky')
if current[1] and current[1] ~= run_id then return { 'moved', current[1], current[2], current[3] } end
local r = current[1] and load_told()
local open = r and r.status == 'running'
if open and moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
if open and r.shut then return { 'busy' } end
touch()
if open then tell(r, type, body) end
local answer = open and yes or no
local n = 0
if answer ~= '' then n = post(outbox_key, sender, answer) end
arrived()
return { 'ok', n, epoch }
