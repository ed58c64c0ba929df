-- A run is told something: an event that its code must be fed with, for which it gets a task.
--- include run

-- What is read of a run that is only told something, and what is written of it: for no other scripts but
-- commits are called as often.
local function load_told()
  local v = rcall('HMGET', run_key, 'wid', 'status', 'len', 'size', 'turn', 'task', 'sticky', 'news', 'queue',
    'first', 'patience', 'shut')
  if not v[1] then return nil end
  return {
    wid = v[1], status = v[2], len = tonumber(v[3]), size = tonumber(v[4]), turn = tonumber(v[5]), task = v[6],
    sticky = v[7] or '', news = tonumber(v[8]), queue = v[9], first = v[10] or run_id,
    patience = tonumber(v[11] or '0'), shut = v[12] == '1'
  }
end

-- Appends what the code must be fed with, and sees to it that somebody will.
local function tell(r, kind, body)
  append(r, kind, body)
  r.news = r.news + 1
  if r.task == 'delayed' then
    -- a message does not wait for the start delay
    rcall('ZREM', timers_key, 'd|' .. run_id)
    r.task = ''
  end
  local turn = r.turn
  schedule(r)
  if r.turn == turn then
    rcall('HSET', run_key, 'len', r.len, 'size', r.size, 'ts', r.ts, 'news', r.news)
  else
    rcall('HSET', run_key, 'len', r.len, 'size', r.size, 'ts', r.ts, 'turn', r.turn, 'task', r.task, 'entry',
      r.entry, 'sticky', r.sticky, 'news', r.news)
  end
end
