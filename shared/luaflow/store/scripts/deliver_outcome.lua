-- deliver_outcome: the answer to a request of a run arrives in its partition: an event, if it waits.
-- KEYS meta wf run hist pend leases timers tq sticky mark
-- ARGV server sender number:int sender_epoch:int oldest:int read_on run_id queue sticky seq type body final:int
-- final 0: more is to come (a child has started); 1: the request is over
-- Returns {'ok'} | {'void'} | {'duplicate'} | {'gap'} | {'moved', run, queue, sticky}
--- include partition
--- include arrival
--- include tell

local verdict = arrival()
if verdict then return { verdict } end
local r = load_told()
if not r or r.status ~= 'running' or rcall('HEXISTS', pend_key, 'c:' .. seq) == 0 then
  touch()
  arrived()
  return { 'void' }
end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
touch()
tell(r, type, body)
if final == 1 then rcall('HDEL', pend_key, 'c:' .. seq) end
arrived()
return { 'ok' }
