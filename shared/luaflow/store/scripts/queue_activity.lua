-- queue_activity: an activity whose retry is due, or whose task was lost, goes to its queue (again).
-- KEYS meta run pend leases timers stream
-- ARGV server run_id seq attempt:int state s2s:int entry
-- state: b (retry due: its timer must be, too) or q (lost: the same attempt, never started)
-- entry: what was found of it in the stream ('' = nothing); it goes, whatever became of the attempt
-- Returns {'ok'} | {'gone'} | {'early', due}
--- include partition
--- include activity

touch()
if entry ~= '' then
  rcall('XACK', stream_key, 'w', entry)
  rcall('XDEL', stream_key, entry)
end
local v = rcall('HMGET', run_key, 'status', 'wid')
local a = load_activity(seq)
local timer = 'r|' .. run_id .. '|' .. seq
if v[1] ~= 'running' or not a or a.state ~= state or a.attempt ~= attempt then
  if not a or a.state ~= 'b' then rcall('ZREM', timers_key, timer) end
  return { 'gone' }
end
local due = tonumber(rcall('ZSCORE', timers_key, timer) or '0')
if due > now then return { 'early', due } end
if state == 'q' then
  rcall('XACK', stream_key, 'w', a.token)
  rcall('XDEL', stream_key, a.token)
end
a.state = 'q'
a.token = rcall('XADD', stream_key, '*', 'r', run_id, 'w', v[2], 's', seq, 'n', a.attempt)
save_activity(seq, a)
rcall('ZREM', timers_key, timer)
if s2s > 0 then set_lease('s|' .. run_id .. '|' .. seq, server_now + s2s) end
return { 'ok' }
