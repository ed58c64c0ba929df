-- deliver_to_schedule: a schedule hears what became of a run it started.
-- KEYS meta schedule timers mark
-- ARGV server sender number:int sender_epoch:int oldest:int read_on id old fresh state date:int
-- old, fresh, date: as for change_schedule; fresh '' = it is nothing new to the schedule, or there is none
-- Returns {'ok'} | {'void'} | {'duplicate'} | {'gap'} | {'moved', '', '', ''}: it changed, read again
--- include partition
--- include arrival
--- include schedule

local verdict = arrival()
if verdict then return { verdict } end
if (rcall('HGET', schedule_key, 'v') or '') ~= old then return { 'moved', '', '', '' } end
touch()
if fresh ~= '' then keep_schedule() end
arrived()
return { fresh == '' and 'void' or 'ok' }
