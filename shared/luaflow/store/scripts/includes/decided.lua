-- What a commit reads of a run, and what it writes: no more than it needs, for no other script is called as
-- often (see run.lua for what the fields are).
local function load_decided()
  local v = rcall('HMGET', run_key, 'status', 'len', 'size', 'ts', 'turn', 'task', 'worker', 'sticky', 'news',
    'cid')
  if not v[1] then return nil end
  return {
    status = v[1], len = tonumber(v[2]), size = tonumber(v[3]), ts = tonumber(v[4]), turn = tonumber(v[5]),
    task = v[6], worker = v[7], sticky = v[8], news = tonumber(v[9]), cid = v[10]
  }
end

local function save_decided(r, answer, keep)
  if r.status ~= 'running' then
    rcall('HSET', run_key, 'len', r.len, 'size', r.size, 'ts', r.ts, 'decided', r.decided, 'news', r.news,
      'task', '', 'status', r.status, 'close', stamp, 'cid', cid, 'ans', answer)
  elseif mode == 'plain' or keep or r.sticky ~= sticky then
    rcall('HSET', run_key, 'len', r.len, 'size', r.size, 'ts', r.ts, 'decided', r.decided, 'news', r.news,
      'task', r.task, 'turn', r.turn, 'sticky', sticky, 'cid', cid, 'ans', answer)
  else
    -- who has the right to decide, and who has the run cached, is as it was
    rcall('HSET', run_key, 'len', r.len, 'size', r.size, 'ts', r.ts, 'decided', r.decided, 'cid', cid,
      'ans', answer)
  end
end

-- Of a plain commit: what went wrong before it is over, and from here on its worker says how long its queue
-- may keep a task. (A fused step comes behind a commit of the same worker: there is nothing to change.)
local function settle_decided()
  local had = rcall('HMGET', run_key, 'refused', 'shut', 'lost', 'fails', 'patience')
  if had[1] or had[2] or had[3] or had[4] then
    rcall('HDEL', run_key, 'refused', 'shut', 'lost', 'fails', 'stuck')
  end
  if sticky_ms ~= (had[5] or '0') then rcall('HSET', run_key, 'patience', sticky_ms) end
end
