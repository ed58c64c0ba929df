--- The `process` module: identity, messages, children, cancellation.
local K = ...
local N = K.native
local S, A, codec, mailbox, channel = K.scheduler, K.calls, K.codec, K.mailbox, K.channel
local type, sub, find, match, rep, tostring = N.type, N.string.sub, N.string.find,
  N.string.match, N.string.rep, K.stable.tostring
local invalid, make_error = K.errors.invalid, K.errors.make

local own = K.stable.own

-- What users see, and what other files of the kernel call: two tables, because nothing that the
-- kernel calls may be within reach of users.
local M, P = {}, {}
P.members = M
K.process = P

-- Identity -------------------------------------------------------------------------------------

function M.pid()
  local pid = K.info_of(K.run).pid
  if not pid then return nil, make_error("Internal", "this code has no PID", false) end
  return pid
end

function M.id() return K.info_of(K.run).entry_id or K.entry_id end

-- Channels -------------------------------------------------------------------------------------

function M.inbox()
  if K.run.pure then S.impure("process.inbox") end
  return own(mailbox.inbox(K.run).object)
end

function M.events()
  K.run.looks = true -- at events: who cancels a function need not end it
  return own(mailbox.events(K.run).object)
end

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

-- What is wrong with a destination: Invalid for no text, NotFound for one that is neither a PID nor
-- a name; nil for nothing.
local function check_destination(dest)
  if type(dest) ~= "string" then
    return invalid("a destination is a text, a PID or a registered name, not " .. type(dest))
  end
  if dest == "" then return unresolved(dest) end
  if find(dest, "[{}]") and not find(dest, "^{[^{}|]*|[^{}]+}$") then return unresolved(dest) end
end

P.check_destination = check_destination

-- True for the PID of a function or process: its node is the incarnation of an OS process, while a
-- workflow's is a client entry, "namespace:name" (luaflow.domain.ids).
local function is_process(dest)
  return find(dest, "^{n" .. rep("[0-9a-f]", 12) .. "@[^{}]*|[^{}]+}$") ~= nil
end

-- What a workflow says to a process takes effect with the commit: nobody waits for an outcome.
local function tell(dest, data, kind, extra)
  extra.kind = kind
  S.emit("tell", dest, data, codec.encode(extra))
  return true
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
  ok = {accepted = "completed"}, error = {accepted = "completed"},
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
  local to_self = dest == K.info_of(K.run).pid
  local to_process = K.kind == "workflow" and is_process(dest)
  local stop = S.enter("process.send", update or to_self or to_process)
  if stop then return nil, stop end
  if update then return answer_update(update, topic, ...) end
  local data, err = A.arguments(...)
  if err then return nil, err end
  if to_process then return tell(dest, data, "message", {topic = topic}) end
  local seq = S.emit("signal", dest, data, codec.encode({topic = topic}))
  -- A message to oneself lands in the history with the commit and comes back as a message.
  if to_self then return true end
  return outcome(seq, "signal")
end

function M.cancel(dest, reason)
  local wrong = check_destination(dest)
  if wrong then return nil, wrong end
  if type(reason) == "number" then reason = tostring(reason) end
  if reason ~= nil and type(reason) ~= "string" then
    return nil, invalid("process.cancel: the reason must be a text")
  end
  local to_process = K.kind == "workflow" and is_process(dest)
  local stop = S.enter("process.cancel", to_process)
  if stop then return nil, stop end
  if to_process then return tell(dest, nil, "cancel", {reason = reason or ""}) end
  return outcome(S.emit("cancel", dest, nil, codec.encode({reason = reason or ""})), "cancel")
end

function M.terminate(dest)
  local wrong = check_destination(dest)
  if wrong then return nil, wrong end
  local to_process = K.kind == "workflow" and is_process(dest)
  local stop = S.enter("process.terminate", to_process)
  if stop then return nil, stop end
  if to_process then return tell(dest, nil, "terminate", {}) end
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
  if K.kind == "workflow" then
    S.emit("continue_as_new", id, data, codec.encode({unread = mailbox.unread_ids(run)}))
  else
    local missing = S.service("upgrade", id or "")
    if missing then return nil, make_error("NotFound", missing, false) end
    S.emit("continue_as_new", id, data, P.belongings(run))
  end
  run.finish(run, "continued")
  S.block("continue_as_new")
end

P.upgrade = M.upgrade

M.event = K.readonly("process.event", {
  EXIT = "pid.exit", LINK_DOWN = "pid.link.down", CANCEL = "pid.cancel", OUTDATED = "pid.outdated",
})
