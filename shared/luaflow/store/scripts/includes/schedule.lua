-- A schedule: its hash has v (a version, new with each change), plan and state (JSON that only callers
-- read); timers has its date, S|<id>, in namespace time.
local function keep_schedule()
  rcall('HSET', schedule_key, 'v', fresh, 'state', state)
  if date == 0 then
    rcall('ZREM', timers_key, 'S|' .. id)
  else
    set_timer('S|' .. id, date < 0 and now or date)
  end
end
