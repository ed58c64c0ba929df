-- postpone_activity: an attempt was taken that a rate limit does not let begin yet. It goes back, the same
-- attempt, and comes to its queue at the moment that was reserved for it; pend p:<seq> says for which
-- attempt, and which moment (server time): then nobody asks again, unless it comes much too late.
-- KEYS meta run pend leases timers
-- ARGV server run_id seq token delay:int
-- Returns {'ok', due} | {'fenced'}
--- include partition
--- include activity

local a = load_activity(seq)
if rcall('HGET', run_key, 'status') ~= 'running' or not a or a.token ~= token
    or (a.state ~= 'r' and a.state ~= 'c') then
  return { 'fenced' }
end
touch()
a.state = a.state == 'c' and 'x' or 'b'
a.token, a.worker = '', ''
save_activity(seq, a)
rcall('HSET', pend_key, 'p:' .. seq, string.format('%d|%d', a.attempt, server_now + delay))
rcall('ZREM', leases_key, 'a|' .. run_id .. '|' .. seq)
if a.state == 'x' then
  set_lease('a|' .. run_id .. '|' .. seq, server_now)
else
  set_timer('r|' .. run_id .. '|' .. seq, now + delay)
end
return { 'ok', now + delay }
