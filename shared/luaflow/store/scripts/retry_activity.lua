-- retry_activity: an attempt failed and another is due: it waits in namespace time.
-- KEYS meta run pend leases timers
-- ARGV server run_id seq token proof member score delay:int failure details parked:int
-- failure: JSON of the last failure, shown by describe; details: of the last heartbeat, '' = as they are
-- parked 1: its workers died under it; the run notes which activity that was, last
-- Returns {'ok', due} | {'fenced'}
--- include partition
--- include activity
--- include attempt

local text = rcall('HGET', pend_key, 'a:' .. seq)
if rcall('HGET', run_key, 'status') ~= 'running' or not speaks_for(text) then return { 'fenced' } end
local a = parse_activity(text)
touch()
a.state = a.state == 'c' and 'x' or 'b'
a.attempt, a.token, a.worker = a.attempt + 1, '', ''
save_activity(seq, a)
rcall('HSET', pend_key, 'f:' .. seq, failure)
if details ~= '' then rcall('HSET', pend_key, 'h:' .. seq, details) end
if parked == 1 then rcall('HSET', run_key, 'parked', seq) end
rcall('ZREM', leases_key, 'a|' .. run_id .. '|' .. seq)
if a.state == 'x' then
  set_lease('a|' .. run_id .. '|' .. seq, server_now)
else
  set_timer('r|' .. run_id .. '|' .. seq, now + delay)
end
return { 'ok', now + delay }
