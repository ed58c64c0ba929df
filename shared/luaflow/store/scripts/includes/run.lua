-- The state of a run, and what may happen to it. Fields of the hash run:<run id>:
--   wid type queue bundle parent      who it is; parent is JSON or ''
--   first                             the run its chain began with: those that continued it as new
--                                     have it, too, and the workflow id has that of its current run
--   status start close                running | completed | …; times in ms
--   len size ts                       events, bytes of their bodies, time of the last one
--   turn task worker entry sticky     the right to decide (design 5.1): task is '' | queued |
--                                     sticky | taken | delayed | backoff | waiting (for its slot) |
--                                     gated (by its rate limit) | continuing (no decisions any
--                                     more, see continue_slice); entry is in its stream
--   decided news                      last event seen by a decision; fed events after it
--   cid ans refused shut lost fails stuck   last commit and its answer; refusals; what went wrong
--   limit due_task                    ms that a task may take, where the start said so; when it ends
--   patience                          ms its sticky worker has to read a task; 0: as the namespace says
--   unread                            messages up to `decided` that the code has not taken
--   attempt next                      which try of its chain it is; the run that followed it
--   attrs index memo                  what list and describe show (see visible.lua)
--   told told_len                     last refused close, and the events there were
--   v:<name> views validators         what it shows; the names of those, of updates with a validator
--   u:<update id>                     a letter and the event that says so: a admitted, k accepted,
--                                     n rejected, d done; one that is a when the run continues as new
--                                     goes with it
--   past 0 1 …                        its packed history (see domain/packing; of format 1: past:0 …)
-- A packed run lacks what only an open one needs, and what is as it mostly is: first (itself), ts (close),
-- attempt (1), parent (''), all but two parts of ans (len, close, 0); its wf lacks queue, sticky and first.
local MESSAGE = {
  WorkflowExecutionSignaled = true, WorkflowExecutionUpdateAdmitted = true,
  WorkflowExecutionCancelRequested = true
}

local function load_run()
  local v = rcall('HMGET', run_key, 'wid', 'status', 'queue', 'len', 'size', 'ts', 'turn', 'task',
    'worker', 'sticky', 'decided', 'news', 'cid', 'ans', 'refused', 'shut', 'entry', 'lost', 'parent',
    'type', 'start', 'fails', 'first', 'patience', 'due_task')
  if not v[1] then return nil end
  return {
    wid = v[1], status = v[2], queue = v[3], len = tonumber(v[4]), size = tonumber(v[5]),
    ts = tonumber(v[6]), turn = tonumber(v[7]), task = v[8], worker = v[9], sticky = v[10] or '',
    decided = tonumber(v[11]), news = tonumber(v[12]), cid = v[13], ans = v[14],
    refused = tonumber(v[15] or '0'), shut = v[16] == '1', entry = v[17], lost = tonumber(v[18] or '0'),
    parent = v[19] or '', type = v[20], start = tonumber(v[21]), fails = tonumber(v[22] or '0'),
    first = v[23] or run_id, patience = tonumber(v[24] or '0'), due_task = v[25]
  }
end

-- Appends one event; its id is the stream entry id, so the server itself refuses a second one.
local stamp = string.format('%d', now)
local function append(r, kind, body, ts)
  r.len = r.len + 1
  r.size = r.size + #body
  r.ts = ts or stamp
  rcall('XADD', hist_key, r.len .. '-0', 'ts', r.ts, 't', kind, 'e', body)
end

local function save_run(r)
  rcall('HSET', run_key, 'len', r.len, 'size', r.size, 'ts', r.ts, 'turn', r.turn, 'task', r.task,
    'worker', r.worker, 'entry', r.entry, 'sticky', r.sticky, 'decided', r.decided, 'news', r.news)
end

-- How long a sticky task waits for its worker: as that one said, else as the namespace has it.
local function patience(r)
  if r.patience and r.patience > 0 then return r.patience end
  return tonumber(rcall('HGET', meta_key, 'sticky_timeout') or '5000')
end

-- Hands the run to a worker, unless somebody has it: to the one that has it cached, else to all.
local function schedule(r)
  if r.task ~= '' then return end
  r.turn = r.turn + 1
  if r.sticky ~= '' then
    local id = rcall('XADD', sticky_key, 'NOMKSTREAM', '*', 'r', run_id, 'w', r.wid, 't', r.turn)
    if id then
      r.task, r.entry = 'sticky', id
      set_lease('w|' .. run_id, server_now + patience(r))
      return
    end
    r.sticky = ''
    rcall('HSET', wf_key, 'sticky', '')
  end
  r.entry = rcall('XADD', tq_key, '*', 'r', run_id, 'w', r.wid, 't', r.turn)
  r.task = 'queued'
end

-- Whoever calls names the streams it declared; a run that moved since is answered with the truth.
local function moved(r, queue, sticky)
  return r.queue ~= queue or (r.sticky ~= sticky and r.sticky ~= '')
end
