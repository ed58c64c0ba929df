-- take_activity: starts an attempt: from here on only its token may speak for it (design 5.4).
-- KEYS meta run hist pend leases stream
-- ARGV server run_id seq attempt:int worker token entry
-- TYPES leases stream
-- Returns {'ok', scheduled event body, options JSON, heartbeat details, attempt, scheduled, now,
--   type, start_to_close, heartbeat, the moment reserved for it by rate limits, queue and sticky worker of
--   its run} | {'gone'}
--- include partition
--- include activity

-- (all is read first: whatever it is, nothing has been written)
local v = rcall('HMGET', run_key, 'status', 'type', 'queue', 'sticky')
local p = rcall('HMGET', pend_key, 'a:' .. seq, 'e:' .. seq, 'o:' .. seq, 'h:' .. seq, 'p:' .. seq)
local a, body = parse_activity(p[1]), p[2]
if a and a.event > 0 then
  local id = string.format('%d-0', a.event)
  body = rcall('XRANGE', hist_key, id, id)[1][2][6]
end
touch()
rcall('XACK', stream_key, 'w', entry)
rcall('XDEL', stream_key, entry)
-- the same token again: the answer to the first call was lost (and maybe it is to be canceled by now:
-- its worker hears of that from the next renewal)
local again = a and a.token == token and (a.state == 'r' or a.state == 'c')
if v[1] ~= 'running' or not a or a.attempt ~= attempt or (a.state ~= 'q' and not again) then
  return { 'gone' }
end
if not again then
  a.state, a.token, a.worker, a.started, a.beat = 'r', token, worker, server_now, server_now
  local light = is_light(p[1])
  rcall('HSET', pend_key, 'a:' .. seq, spell_activity(a, light))
  if not light then rcall('ZREM', leases_key, 's|' .. run_id .. '|' .. seq) end
end
watch_activity(seq, a)
return { 'ok', body, p[3], p[4], a.attempt, a.scheduled, server_now, v[2], a.s2c, a.hb, p[5],
  v[3], v[4] }
