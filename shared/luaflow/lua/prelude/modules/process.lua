--- The `process` module: identity, messages, children, cancellation.
local K = ...
local N = K.native
local S, A, codec, mailbox, channel = K.scheduler, K.calls, K.codec, K.mailbox, K.channel
local type, sub, find, match, select, tostring = N.type, N.string.sub, N.string.find,
  N.string.match, N.select, K.stable.tostring
local invalid, make_error = K.errors.invalid, K.errors.make

local own = K.stable.own

-- What users see, and what other files of the kernel call: two tables, because nothing that the
-- kernel calls may be within reach of users.
local M, P = {}, {}
P.members = M
K.process = P

-- Identity -------------------------------------------------------------------------------------

function M.pid()
  local pid = K.run.info.pid
  if not pid then return nil, make_error("Internal", "this code has no PID", false) end
  return pid
end

function M.id() return K.run.info.entry_id or K.entry_id end

-- Channels -------------------------------------------------------------------------------------

function M.inbox()
  if K.run.pure then S.impure("process.inbox") end
  return own(mailbox.inbox(K.run).object)
end

function M.events() return own(mailbox.events(K.run).object) end

function M.listen(topic, options)
  if type(topic) ~= "string" or topic == "" or sub(topic, 1, 1) == "@" then
    return nil, invalid("process.listen: the topic must be a text that does not start with '@'")
  end
  if K.run.pure then S.impure("process.listen") end
  local raw = not (type(options) == "table" and options.message)
  return own(mailbox.listen(K.run, topic, raw).object)
end

function M.unlisten(ch)
  if not K.isa(ch, channel.class) then return nil, invalid("process.unlisten expects a channel") end
  if K.run.pure then S.impure("process.unlisten") end
  mailbox.unlisten(K.run, ch[K.STATE], true)
  return true
end

-- Sending --------------------------------------------------------------------------------------

local function unresolved(dest)
  return make_error("NotFound",
    "could not resolve '" .. tostring(dest) .. "' as PID or registered name", false)
end

-- The NotFound error of a text that is neither a PID nor a name, or nil.
local function check_destination(dest)
  if type(dest) ~= "string" or dest == "" then return unresolved(dest) end
  if find(dest, "[{}]") and not find(dest, "^{[^{}|]*|[^{}]+}$") then return unresolved(dest) end
end

-- A request is on its way: whoever waits to hear of it need not.
local function stop_waiting(_, task)
  S.forget(task.seq)
  return true
end

-- Wait for the outcome of a request: true, or nil and its error.
local function outcome(seq, what)
  local _, err = S.await(seq, what)
  if err then return nil, err end
  return true, nil
end

local STEPS = {
  ack = {admitted = "accepted"}, nak = {admitted = "rejected"},
  ok = {accepted = "completed", admitted = "completed"},
  error = {accepted = "completed", admitted = "completed"},
}
local REPLIES = {
  ack = "accept_update", nak = "reject_update", ok = "complete_update", error = "complete_update",
}

-- An answer to an update: ack or nak first, then ok or error.
local function answer_update(id, topic, ...)
  local run = K.run
  local update, step = run.updates[id], STEPS[topic]
  local state = update and update.state
  local after = step and state and step[state]
  if not after then
    return nil, invalid("cannot answer update '" .. id .. "' with '" .. topic .. "': "
      .. (state and "it is " .. state or "it is not known here"))
  end
  local value = ...
  local data, wrong
  if run.replaying then wrong = codec.problem(value) else data, wrong = codec.encode(value) end
  if wrong then return nil, invalid(wrong) end
  update.state = after
  if update.entry then mailbox.settled(run, update.entry) end
  update.entry = nil
  if after ~= "accepted" then run.open_updates = run.open_updates - 1 end
  S.emit(REPLIES[topic], id, data, '{"step":"' .. topic .. '"}')
  return true
end
P.answer_update = answer_update

function M.send(dest, topic, ...)
  if dest == nil or topic == nil then
    return nil, invalid("process.send expects a destination and a topic")
  end
  if type(topic) ~= "string" or topic == "" or sub(topic, 1, 1) == "@" then
    return nil, invalid("process.send: the topic must be a text that does not start with '@'")
  end
  local wrong = check_destination(dest)
  if wrong then return nil, wrong end
  local update = match(dest, "^{update|(.+)}$")
  local to_self = dest == K.run.info.pid
  local stop = S.enter("process.send", update or to_self)
  if stop then return nil, stop end
  if update then return answer_update(update, topic, ...) end
  local data, err = A.arguments(...)
  if err then return nil, err end
  local seq = S.emit("signal", dest, data, codec.encode({topic = topic}))
  -- A message to oneself lands in the history with the commit and comes back as a message.
  if to_self then return true end
  return outcome(seq, "signal")
end

function M.cancel(dest, reason)
  local wrong = check_destination(dest)
  if wrong then return nil, wrong end
  if reason ~= nil and type(reason) ~= "string" then
    return nil, invalid("process.cancel: the reason must be a text")
  end
  local stop = S.enter("process.cancel")
  if stop then return nil, stop end
  return outcome(S.emit("cancel", dest, nil, codec.encode({reason = reason or ""})), "cancel")
end

function M.terminate(dest)
  local wrong = check_destination(dest)
  if wrong then return nil, wrong end
  local stop = S.enter("process.terminate")
  if stop then return nil, stop end
  return outcome(S.emit("terminate", dest), "terminate")
end

-- Ask a workflow and wait for what its code answers: its value, or nil and an error.
local function ask(op, verb)
  return function(dest, name, ...)
    if type(name) ~= "string" or name == "" then
      return nil, invalid("process." .. op .. " expects a destination and the name of the " .. op)
    end
    local wrong = check_destination(dest)
    if wrong then return nil, wrong end
    if K.kind == "workflow" then
      return nil, invalid("process." .. op .. " is not available in workflows: " .. verb
        .. " in an activity, or send a signal and wait for the answer")
    end
    local stop = S.enter("process." .. op)
    if stop then return nil, stop end
    local data, err = A.arguments(...)
    if err then return nil, err end
    return S.await(S.emit(op, dest, data, codec.encode({name = name})), op)
  end
end

M.update, M.query = ask("update", "send it"), ask("query", "ask it")
S.withdraw.update, S.withdraw.query = stop_waiting, stop_waiting

S.withdraw.signal, S.withdraw.cancel, S.withdraw.terminate = stop_waiting, stop_waiting, stop_waiting

-- What only other processes may do -------------------------------------------------------------

local EXPLAIN = {
  monitor = ": a child's end comes to process.events() by itself",
  link = ": a child's end comes to process.events() by itself",
}
for _, name in N.ipairs({"monitor", "unmonitor", "link", "unlink"}) do
  M[name] = function(dest)
    if K.kind == "workflow" then
      return nil, invalid("process." .. name .. " not supported in workflow context"
        .. (EXPLAIN[name] or ""))
    end
    local wrong = check_destination(dest)
    if wrong then return nil, wrong end
    local stop = S.enter("process." .. name)
    if stop then return nil, stop end
    return outcome(S.emit(name, dest), name)
  end
end

-- Options --------------------------------------------------------------------------------------

local OPTIONS = {trap_links = true, interrupt_on_cancel = true, upgradable = true}

function M.get_options()
  local options = K.run.options
  return {
    trap_links = options.trap_links, interrupt_on_cancel = options.interrupt_on_cancel,
    upgradable = options.upgradable,
  }
end

function M.set_options(t)
  if type(t) ~= "table" then return false, invalid("process.set_options expects a table") end
  if K.run.pure then S.impure("process.set_options") end
  -- What was looked at is what is set: a user's __pairs may answer differently each time.
  local given = {}
  for key, value in K.stable.pairs(t) do
    if not OPTIONS[key] then
      return false, invalid("unknown process option '" .. tostring(key) .. "'")
    end
    if type(value) ~= "boolean" then
      return false, invalid("process option '" .. key .. "' must be true or false")
    end
    given[key] = value
  end
  local run = K.run
  for key, value in N.next, given do run.options[key] = value end
  if run.options.interrupt_on_cancel and run.cancel_requested then S.interrupt(run) end
  if not run.options.interrupt_on_cancel then run.interrupted = false end
  return true
end

-- Names ----------------------------------------------------------------------------------------

local function no_registry(name, failed)
  return function()
    return failed, invalid("process.registry." .. name .. " is not available here: a workflow is"
      .. " found by its id, so start it with the option workflow.id and send to its PID")
  end
end

M.registry = K.readonly("process.registry", {
  LOCAL = 0, EVENTUAL = 1, CONSISTENT = 2, STRONG = 3,
  register = no_registry("register"), lookup = no_registry("lookup"),
  unregister = no_registry("unregister", false),
})

-- Ending ---------------------------------------------------------------------------------------

--- End this run and start the next one of the same workflow id; never returns.
function M.upgrade(id, ...)
  if id ~= nil then
    local err = A.check_id(id, "workflow")
    if err then return nil, err end
  end
  if K.run.pure then S.impure("continue_as_new") end
  S.waitable("continue_as_new")
  local data, wrong = A.arguments(...)
  if wrong then return nil, wrong end
  local run = K.run
  S.emit("continue_as_new", id, data, codec.encode({unread = mailbox.unread_ids(run)}))
  run.finish(run, "continued")
  S.block("continue_as_new")
end

P.upgrade = M.upgrade

M.event = K.readonly("process.event", {
  EXIT = "pid.exit", LINK_DOWN = "pid.link.down", CANCEL = "pid.cancel", OUTDATED = "pid.outdated",
})
