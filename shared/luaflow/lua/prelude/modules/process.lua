--- The `process` module: identity, messages, children, cancellation.
local K = ...
local N = K.native
local S, A, codec, mailbox, channel = K.scheduler, K.calls, K.codec, K.mailbox, K.channel
local type, sub, find, match, select, tostring = N.type, N.string.sub, N.string.find,
  N.string.match, N.select, K.stable.tostring
local invalid, make_error = K.errors.invalid, K.errors.make

local own = K.stable.own

local P = {}
K.process = P

-- Identity -------------------------------------------------------------------------------------

function P.pid()
  local pid = K.run.info.pid
  if not pid then return nil, make_error("Internal", "this code has no PID", false) end
  return pid
end

function P.id() return K.run.info.entry_id or K.entry_id end

-- Channels -------------------------------------------------------------------------------------

function P.inbox() return own(mailbox.inbox(K.run)) end
function P.events() return own(K.run.events) end

function P.listen(topic, options)
  if type(topic) ~= "string" or topic == "" or sub(topic, 1, 1) == "@" then
    return nil, invalid("process.listen: the topic must be a text that does not start with '@'")
  end
  local raw = not (type(options) == "table" and options.message)
  return own(mailbox.listen(K.run, topic, raw))
end

function P.unlisten(ch)
  if not K.isa(ch, channel.class) then return nil, invalid("process.unlisten expects a channel") end
  mailbox.unlisten(K.run, ch, true)
  return true
end

-- Sending --------------------------------------------------------------------------------------

local function unresolved(dest)
  return make_error("NotFound",
    "could not resolve '" .. tostring(dest) .. "' as PID or registered name", false)
end

--- The NotFound error of a text that is neither a PID nor a name, or nil.
function P.check_destination(dest)
  if type(dest) ~= "string" or dest == "" then return unresolved(dest) end
  if find(dest, "[{}]") and not find(dest, "^{[^{}|]*|[^{}]+}$") then return unresolved(dest) end
end

-- Wait for the outcome of a request: true, or nil and its error.
local function outcome(seq, what)
  local _, err = S.await(seq, what)
  if err then return nil, err end
  return true, nil
end

local STEPS = {
  ack = {admitted = "accepted"}, nak = {admitted = "done"},
  ok = {accepted = "done", admitted = "done"}, error = {accepted = "done", admitted = "done"},
}

-- An answer to an update: ack or nak first, then ok or error.
local function answer_update(id, topic, ...)
  local updates = K.run.updates
  local step = STEPS[topic]
  local state = updates[id]
  local after = step and state and step[state]
  if not after then
    return nil, invalid("cannot answer update '" .. id .. "' with '" .. topic .. "': "
      .. (state and "it is " .. state or "it is not known here"))
  end
  local value = ...
  local data, wrong
  if K.run.replaying then wrong = codec.problem(value) else data, wrong = codec.encode(value) end
  if wrong then return nil, invalid(wrong) end
  updates[id] = after
  S.emit("update_reply", id, data, '{"step":"' .. topic .. '"}')
  return true
end

function P.send(dest, topic, ...)
  if dest == nil or topic == nil then
    return nil, invalid("process.send expects a destination and a topic")
  end
  if type(topic) ~= "string" or topic == "" or sub(topic, 1, 1) == "@" then
    return nil, invalid("process.send: the topic must be a text that does not start with '@'")
  end
  local wrong = P.check_destination(dest)
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
  return outcome(seq, "send")
end

function P.cancel(dest, reason)
  local wrong = P.check_destination(dest)
  if wrong then return nil, wrong end
  if reason ~= nil and type(reason) ~= "string" then
    return nil, invalid("process.cancel: the reason must be a text")
  end
  local stop = S.enter("process.cancel")
  if stop then return nil, stop end
  return outcome(S.emit("cancel", dest, nil, codec.encode({reason = reason or ""})), "cancel")
end

function P.terminate(dest)
  local wrong = P.check_destination(dest)
  if wrong then return nil, wrong end
  local stop = S.enter("process.terminate")
  if stop then return nil, stop end
  return outcome(S.emit("terminate", dest), "terminate")
end

-- What only other processes may do -------------------------------------------------------------

local EXPLAIN = {
  monitor = ": a child's end comes to process.events() by itself",
  link = ": a child's end comes to process.events() by itself",
}
for _, name in N.ipairs({"monitor", "unmonitor", "link", "unlink"}) do
  P[name] = function(dest)
    if K.kind == "workflow" then
      return nil, invalid("process." .. name .. " not supported in workflow context"
        .. (EXPLAIN[name] or ""))
    end
    local wrong = P.check_destination(dest)
    if wrong then return nil, wrong end
    return outcome(S.emit(name, dest), name)
  end
end

-- Options --------------------------------------------------------------------------------------

local OPTIONS = {trap_links = true, interrupt_on_cancel = true, upgradable = true}

function P.get_options()
  local options = K.run.options
  return {
    trap_links = options.trap_links, interrupt_on_cancel = options.interrupt_on_cancel,
    upgradable = options.upgradable,
  }
end

function P.set_options(t)
  if type(t) ~= "table" then return false, invalid("process.set_options expects a table") end
  for key, value in K.stable.pairs(t) do
    if not OPTIONS[key] then
      return false, invalid("unknown process option '" .. tostring(key) .. "'")
    end
    if type(value) ~= "boolean" then
      return false, invalid("process option '" .. key .. "' must be true or false")
    end
  end
  local run = K.run
  for key, value in N.next, t do run.options[key] = value end
  if run.options.interrupt_on_cancel and run.cancel_requested then S.interrupt(run) end
  if not run.options.interrupt_on_cancel then run.interrupted = false end
  return true
end

-- Ending ---------------------------------------------------------------------------------------

--- End this run and start the next one of the same workflow id; never returns.
function P.upgrade(id, ...)
  if id ~= nil then
    local err = A.check_id(id, "workflow")
    if err then return nil, err end
  end
  if K.run.pure then K.raise("continue_as_new is not allowed inside " .. K.run.pure) end
  local data, wrong = A.arguments(...)
  if wrong then return nil, wrong end
  local run = K.run
  S.emit("continue_as_new", id, data, codec.encode({unread = mailbox.unread_ids(run)}))
  run.finish(run, "continued")
  S.block("continue_as_new")
end

P.event = K.readonly("process.event", {
  EXIT = "pid.exit", LINK_DOWN = "pid.link.down", CANCEL = "pid.cancel", OUTDATED = "pid.outdated",
})
