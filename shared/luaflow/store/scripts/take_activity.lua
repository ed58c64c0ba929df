-- take_activity: starts an attempt: from here on only its token may speak for it (design 5.4).
-- KEYS meta run hist pend leases stream
-- ARGV server run_id seq attempt:int worker token entry
-- Returns {'ok', scheduled event body, options JSON, heartbeat details, attempt, scheduled, now,
--   type, start_to_close, heartbeat, the moment reserved for it by rate limits} | {'gone'}
--- include partition
--- include activity

touch()
rcall('XACK', stream_key, 'w', entry)
rcall('XDEL', stream_key, entry)
local v = rcall('HMGET', run_key, 'status', 'type')
local a = load_activity(seq)
-- the same token again: the answer to the first call was lost (and maybe it is to be canceled by now:
-- its worker hears of that from the next renewal)
local again = a and a.token == token and (a.state == 'r' or a.state == 'c')
if v[1] ~= 'running' or not a or a.attempt ~= attempt or (a.state ~= 'q' and not again) then
  return { 'gone' }
end
if not again then
  a.state, a.token, a.worker, a.started, a.beat = 'r', token, worker, server_now, server_now
  save_activity(seq, a)
  rcall('ZREM', leases_key, 's|' .. run_id .. '|' .. seq)
end
watch_activity(seq, a)
local more = rcall('HMGET', pend_key, 'o:' .. seq, 'h:' .. seq, 'e:' .. seq, 'p:' .. seq)
local body = more[3]
if a.event > 0 then
  local id = string.format('%d-0', a.event)
  body = rcall('XRANGE', hist_key, id, id)[1][2][6]
end
return { 'ok', body, more[1], more[2], a.attempt, a.scheduled, server_now, v[2], a.s2c, a.hb, more[4] }
