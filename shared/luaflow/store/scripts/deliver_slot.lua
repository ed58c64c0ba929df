-- deliver_slot: a run that waits for a slot has it and begins, or is not to have one and ends.
-- KEYS meta wf run hist pend leases timers vis gc tq mark parent
-- ARGV server sender number:int sender_epoch:int oldest:int read_on run_id queue granted:int gate:int body receiver message
-- granted 1: gate: ms its rate limit has it wait; body: of ConcurrencySlotGranted
-- granted 0: body: of WorkflowExecutionCanceled, without its last brace: the messages nobody saw are
-- listed behind it; receiver, message: the run's parent is told of its end ('' = it has none)
-- Returns {'ok', receivers…} | {'void'} | {'duplicate'} | {'gap'} | {'moved', run, queue, sticky}
--- include partition
--- include arrival
--- include run
--- include outbox
--- include visible
--- include close

local verdict = arrival()
if verdict then return { verdict } end
local r = load_run()
if not r or r.status ~= 'running' or r.task ~= 'waiting' then
  touch()
  arrived()
  return { 'void' }
end
if moved(r, queue, '') then return { 'moved', run_id, r.queue, r.sticky } end
touch()
arrived()
if granted == 0 then
  -- it has nothing to give back
  rcall('HDEL', pend_key, 'c:0')
  close_run(r, 'canceled', 'WorkflowExecutionCanceled', with_unread(r, body))
  save_closed(r)
  if receiver == '' then return { 'ok' } end
  post(parent_key, receiver, message)
  return { 'ok', receiver }
end
append(r, 'ConcurrencySlotGranted', body)
local due = math.max(tonumber(rcall('ZSCORE', timers_key, 'g|' .. run_id) or '0'), now + gate)
local limit = tonumber(rcall('HGET', run_key, 'timeout') or '0')
if limit > 0 then set_timer('x|' .. run_id, due + limit) end
if due > now then
  r.task = 'gated'
  set_timer('g|' .. run_id, due)
else
  r.task = ''
  rcall('ZREM', timers_key, 'g|' .. run_id)
  schedule(r)
end
save_run(r)
return { 'ok' }
