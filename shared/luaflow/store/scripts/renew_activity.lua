-- renew_activity: a worker keeps its attempt; with beat=1 it is a heartbeat, with details or without.
-- KEYS meta run pend leases
-- ARGV server run_id seq token beat:int details
-- Returns {'ok'} | {'cancel'} (asked to stop) | {'fenced'}
--- include partition
--- include activity

local a = load_activity(seq)
if rcall('HGET', run_key, 'status') ~= 'running' or not a or a.token ~= token
    or (a.state ~= 'r' and a.state ~= 'c') then
  return { 'fenced' }
end
touch()
if beat == 1 then
  a.beat = server_now
  save_activity(seq, a)
  if details ~= '' then rcall('HSET', pend_key, 'h:' .. seq, details) end
end
watch_activity(seq, a)
return { a.state == 'c' and 'cancel' or 'ok' }
