-- make_way: a run asks for a child in the place of the run that has its workflow id: that one ends. The
-- message is not applied by that; whoever carries it looks again, and starts the child.
-- KEYS meta wf run hist pend leases timers vis gc mark parent
-- ARGV server sender number:int sender_epoch:int oldest:int read_on run_id body receiver message
-- body is JSON without its last brace; receiver, message: the ended run's parent is told ('' = it has none)
-- Returns {'ended'} | {'moved', run, '', ''} | {'duplicate'} | {'gap'}; look again after the first two
--- include partition
--- include arrival
--- include run
--- include outbox
--- include visible
--- include close

local verdict = arrival()
if verdict then return { verdict } end
local current = rcall('HGET', wf_key, 'run')
local r = current == run_id and load_run()
if r and r.status == 'running' then
  touch()
  close_run(r, 'terminated', 'WorkflowExecutionTerminated', with_unread(r, body))
  save_closed(r)
  if receiver ~= '' then post(parent_key, receiver, message) end
  return { 'ended' }
end
return { 'moved', current or '', '', '' }
