-- settle_request: a run waits for an answer that was lost in a fail-over: it is told now what is known.
-- KEYS meta wf run hist pend leases timers tq sticky
-- ARGV server run_id queue sticky seq record len:int type body final:int
-- record, len: what the run waits for and how long its history was when that was read; final 0: more is
-- to come (a child has started, a lock is to be given back)
-- Returns {'ok'} | {'void'}: it has heard something since | {'moved', run, queue, sticky}
--- include partition
--- include tell

local r = load_told()
if not r or r.status ~= 'running' or r.len ~= len then return { 'void' } end
if rcall('HGET', pend_key, 'c:' .. seq) ~= record then return { 'void' } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
touch()
tell(r, type, body)
if final == 1 then rcall('HDEL', pend_key, 'c:' .. seq) end
return { 'ok' }
