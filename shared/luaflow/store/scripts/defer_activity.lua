-- defer_activity: no worker holds the attempt any more; its token ends it, or its time does.
-- KEYS meta run pend leases
-- ARGV server run_id seq token
-- Returns {'ok'} | {'fenced'}
--- include partition
--- include activity

local a = load_activity(seq)
if rcall('HGET', run_key, 'status') ~= 'running' or not a or a.token ~= token
    or (a.state ~= 'r' and a.state ~= 'c') then
  return { 'fenced' }
end
touch()
if a.worker ~= '@' then
  -- its heartbeat timeout runs from now: until here the worker spoke for it
  a.worker, a.beat = '@', server_now
  save_activity(seq, a)
end
watch_activity(seq, a)
return { 'ok' }
