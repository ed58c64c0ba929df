-- Opens a run: state, first event, startup messages (in the same script), index, timeouts, first task.
-- o: wid first type queue bundle parent attempt delay run_timeout deadline; messages: list of {type, body}
-- gate slot ask receiver box: what its first task waits for (see domain/flow.py): ms, and the record
-- of a slot with the message that asks for it; a message to the run does not end that wait
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
  rcall('HSET', run_key, 'wid', o.wid, 'first', o.first, 'type', o.type, 'status', 'running', 'queue', o.queue,
    'bundle', o.bundle, 'parent', o.parent, 'start', now, 'attempt', o.attempt)
  rcall('ZADD', vis_key, 0, vis_member('status', 'running', now), 0, vis_member('type', o.type, now))
  if o.run_timeout > 0 then set_timer('x|' .. run_id, now + o.run_timeout) end
  if o.deadline > 0 then set_timer('X|' .. run_id, o.deadline) end
  if (o.slot or '') ~= '' then
    r.task = 'waiting'
    rcall('HSET', pend_key, 'c:0', o.slot)
    post(o.box, o.receiver, o.ask)
    if o.delay > 0 then set_timer('g|' .. run_id, now + o.delay) end
  elseif (o.gate or 0) > 0 then
    r.task = 'gated'
    set_timer('g|' .. run_id, now + math.max(o.gate, o.delay))
  elseif o.delay > 0 then
    r.task = 'delayed'
    set_timer('d|' .. run_id, now + o.delay)
  else
    schedule(r)
  end
  save_run(r)
end

local function open_run(o, started, messages)
  local r = new_run(o)
  begin_run(r, started, messages)
  enter_run(r, o)
end
