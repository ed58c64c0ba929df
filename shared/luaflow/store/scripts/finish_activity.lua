-- finish_activity: the outcome of an activity becomes an event, and the run is told.
-- KEYS meta wf run hist pend leases timers tq sticky
-- ARGV server run_id seq token proof member score queue sticky type body
-- TYPES wf hist leases tq sticky
-- Returns {'ok', event id} | {'moved', run, queue, sticky} | {'fenced'}
--- include partition
--- include tell
--- include activity
--- include forget
--- include attempt

local r, text = load_told(), rcall('HGET', pend_key, 'a:' .. seq)
if not r or r.status ~= 'running' or not speaks_for(text) then return { 'fenced' } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
local light = is_light(text)
if not light then rcall('ZCARD', timers_key) end
touch()
-- the event first: should the server refuse it, the activity is still there
tell(r, type, body)
forget_activity(seq, light)
return { 'ok', r.len }
