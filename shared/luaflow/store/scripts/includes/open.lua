-- Opens a run: state, first event, startup messages (in the same script), index, timeouts, first task.
-- o: wid first type queue bundle parent attempt delay run_timeout deadline; messages: list of {type, body}
-- and, where there are any: at, the namespace time of its first task, relative when negative, which no
-- message brings forward (delay is what a message ends); index and attrs, its search attributes; limit,
-- the ms that a workflow task of it may take; gate slot ask receiver box, what its first task waits for
-- (see domain/flow.py): ms, and the record of a slot with the message that asks for it; a message to the
-- run does not end that wait.
--- include outbox
local function new_run(o)
  return {
    wid = o.wid, status = 'running', queue = o.queue, len = 0, size = 0, ts = now, turn = 0, task = '',
    worker = '', sticky = '', decided = 0, news = 0, entry = '', type = o.type, start = now
  }
end

-- Writes its first events, or some more of them: all of these are fed to the code.
local function begin_run(r, started, messages)
  if r.len == 0 then append(r, 'WorkflowExecutionStarted', started) end
  for _, m in ipairs(messages) do append(r, m[1], m[2]) end
  r.news = r.len
end

-- Makes it the current run of its workflow id, and gives it its first task.
local function enter_run(r, o)
  rcall('HSET', wf_key, 'run', run_id, 'status', 'running', 'queue', o.queue, 'sticky', '',
    'first', o.first)
  rcall('ZADD', vis_key, 0, vis_member('status', 'running', now), 0, vis_member('type', o.type, now))
  if o.attrs and o.attrs ~= '' then
    rcall('HSET', run_key, 'attrs', o.attrs, 'index', o.index)
    add_attributes(o.index, now)
  end
  if o.limit and o.limit > 0 then rcall('HSET', run_key, 'limit', o.limit) end
  local at = o.at or 0
  if at < 0 then at = now - at end
  local begin, waits = math.max(now + math.max(o.delay, o.gate or 0), at), (o.slot or '') ~= ''
  -- what waits does not run: its time begins with its first task (of one that waits for a slot, nobody
  -- knows yet when that is: see deliver_slot)
  if o.run_timeout > 0 and waits then
    rcall('HSET', run_key, 'timeout', o.run_timeout)
  elseif o.run_timeout > 0 then
    set_timer('x|' .. run_id, begin + o.run_timeout)
  end
  if o.deadline > 0 then set_timer('X|' .. run_id, o.deadline) end
  if waits then
    r.task = 'waiting'
    rcall('HSET', pend_key, 'c:0', o.slot)
    post(o.box, o.receiver, o.ask)
    if begin > now then set_timer('g|' .. run_id, begin) end
  elseif (o.gate or 0) > 0 then
    r.task = 'gated'
    set_timer('g|' .. run_id, begin)
  elseif at > now then
    r.task = 'backoff'
    set_timer('f|' .. run_id, at)
  elseif o.delay > 0 then
    r.task = 'delayed'
    set_timer('d|' .. run_id, now + o.delay)
  else
    schedule(r)
  end
  -- (the fields of a hash are looked for one after the other: first those that commits read)
  rcall('HSET', run_key, 'status', 'running', 'len', r.len, 'size', r.size, 'ts', r.ts, 'turn', r.turn, 'task',
    r.task, 'worker', r.worker, 'sticky', r.sticky, 'news', r.news, 'cid', '', 'ans', '', 'decided', r.decided,
    'entry', r.entry, 'wid', o.wid, 'first', o.first, 'type', o.type, 'queue', o.queue, 'bundle', o.bundle,
    'parent', o.parent, 'start', now, 'attempt', o.attempt)
end

local function open_run(o, started, messages)
  local r = new_run(o)
  begin_run(r, started, messages)
  enter_run(r, o)
end
