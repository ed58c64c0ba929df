-- deliver_end: another run terminates this one.
-- KEYS meta wf run hist pend leases timers vis gc mark outbox parent
-- ARGV server sender number:int sender_epoch:int oldest:int read_on run_id body receiver message yes no
-- body is JSON without its last brace: the messages nobody saw are listed behind it
-- receiver, message: the run's own parent is told of its end ('' = it has none)
-- Returns {'ok', reply number, epoch} | {'duplicate'} | {'gap'} | {'moved', run, '', ''}
--- include partition
--- include arrival
--- include run
--- include outbox
--- include visible
--- include close

local verdict = arrival()
if verdict then return { verdict } end
local current = rcall('HGET', wf_key, 'run')
if current and current ~= run_id then return { 'moved', current, '', '' } end
local r = current and load_run()
local open = r and r.status == 'running'
touch()
if open then
  close_run(r, 'terminated', 'WorkflowExecutionTerminated', with_unread(r, body))
  save_closed(r)
  if receiver ~= '' then post(parent_key, receiver, message) end
end
local answer = open and yes or no
local n = 0
if answer ~= '' then n = post(outbox_key, sender, answer) end
arrived()
return { 'ok', n, epoch }
