-- finish_activity: the outcome of an activity becomes an event, and the run is told.
-- KEYS meta wf run hist pend leases timers tq sticky
-- ARGV server run_id seq token proof member score queue sticky type body
-- Returns {'ok', event id} | {'moved', run, queue, sticky} | {'fenced'}
--- include partition
--- include run
--- include activity
--- include forget
--- include attempt

local r = load_run()
if not r or r.status ~= 'running' or not speaks_for(load_activity(seq)) then return { 'fenced' } end
if moved(r, queue, sticky) then return { 'moved', run_id, r.queue, r.sticky } end
touch()
-- the event first: should the server refuse it, the activity is still there
tell(r, type, body)
forget_activity(seq)
return { 'ok', r.len }
