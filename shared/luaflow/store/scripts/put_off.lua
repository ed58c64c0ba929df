-- put_off: a date that nobody could act on is looked at again later, unless it moved meanwhile; the
-- date of a run that is not running any more is void and goes.
-- KEYS meta run set
-- ARGV server member score delay:int bound:int namespace_time:int
-- bound 1: the date is void once its run is closed; 0: it is not (outboxes, closing tasks, retention)
-- TYPES set
-- Returns {'ok'} | {'void'} | {'moved'}
--- include partition

if rcall('ZSCORE', set_key, member) ~= score then return { 'moved' } end
touch()
-- (what cannot be read is not known to be over)
local status = bound == 1 and redis.pcall('HGET', run_key, 'status')
if bound == 1 and status ~= 'running' and not (type(status) == 'table' and status.err) then
  rcall('ZREM', set_key, member)
  return { 'void' }
end
rcall('ZADD', set_key, (namespace_time == 1 and now or server_now) + delay, member)
return { 'ok' }
