-- An activity that has ended leaves nothing behind. light: its attempt is 01 (see activity.lua).
local function forget_activity(seq, light)
  if light then
    rcall('HDEL', pend_key, 'a:' .. seq)
    rcall('ZREM', leases_key, 'a|' .. run_id .. '|' .. seq)
    return
  end
  rcall('HDEL', pend_key, 'a:' .. seq, 'o:' .. seq, 'h:' .. seq, 'f:' .. seq, 'p:' .. seq)
  rcall('ZREM', leases_key, 'a|' .. run_id .. '|' .. seq, 's|' .. run_id .. '|' .. seq)
  rcall('ZREM', timers_key, 'r|' .. run_id .. '|' .. seq, 'c|' .. run_id .. '|' .. seq)
end
