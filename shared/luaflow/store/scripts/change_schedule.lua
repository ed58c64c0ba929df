-- change_schedule: a schedule is made, changed or removed, or its date has come: it goes on to the next
-- time, and the starts (and ends) this asks for go to the outboxes of their partitions, in one step.
-- KEYS meta schedule schedules timers leases outboxes...
-- ARGV server id old fresh plan state latest:int date:int messages...
-- old: the version that was read ('' = none); fresh: the next one ('' = it is removed); plan '' stays.
-- latest: the latest time acted on, 0: none; date: its next date, 0: none, -1: at once.
-- messages: key index, receiver, message, …
-- Returns {'ok'} | {'changed'}: read again | {'early', latest}
--- include partition
--- include outbox
--- include schedule

local version = rcall('HGET', schedule_key, 'v') or ''
if version == fresh then return { 'ok' } end
if version ~= old then return { 'changed' } end
if latest > now then return { 'early', latest } end
touch()
if fresh == '' then
  rcall('DEL', schedule_key)
  rcall('ZREM', schedules_key, id)
  rcall('ZREM', timers_key, 'S|' .. id)
  return { 'ok' }
end
for i = messages, #ARGV, 3 do post(KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]) end
if plan ~= '' then rcall('HSET', schedule_key, 'plan', plan) end
rcall('ZADD', schedules_key, 0, id)
keep_schedule()
return { 'ok' }
