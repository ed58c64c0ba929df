--- Starting other workflows and processes: process.spawn*, process.exec and their builder.
local K = ...
local N = K.native
local S, A, codec, P = K.scheduler, K.calls, K.codec, K.process
local type, setmetatable, next, sub = N.type, N.setmetatable, N.next, N.string.sub
local invalid = K.errors.invalid

local NOTHING = {_options = {}, _context = {}, _messages = {}, _name = false}

local methods = {}
local Spawner = K.class("process.Spawner", methods)

local function spawner(options, context, name, messages)
  return setmetatable({
    _options = options, _context = context, _name = name, _messages = messages,
  }, Spawner)
end

local function extra_text(how, host, wait, watch)
  local extra = {wait = wait, host = host, watch = watch or nil}
  if next(how._options) ~= nil then extra.options = how._options end
  if next(how._context) ~= nil then extra.context = how._context end
  if how._name then extra.name = how._name end
  if how._messages[1] then extra.messages = how._messages end
  return (codec.encode(extra))
end

local function give(how, id, host, wait, watch, ...)
  local stop = S.enter(wait and "process.exec" or "process.spawn")
  if stop then return nil, stop end
  if next(how._options) ~= nil then
    local err = A.check_options("start", id, how._options)
    if err then return nil, err end
  end
  local data, wrong = A.arguments(...)
  if wrong then return nil, wrong end
  return S.emit("child", id, data, extra_text(how, host, wait, watch))
end

local function check(id, host)
  if id == nil or host == nil then return invalid("expected a workflow or process ID and a host") end
  if type(host) ~= "string" or host == "" then return invalid("invalid host: expected a text") end
  return A.check_id(id, "process")
end

local function spawn(how, watch, id, host, ...)
  local err = check(id, host)
  if err then return nil, err end
  local seq, wrong = give(how, id, host, false, watch, ...)
  if not seq then return nil, wrong end
  K.run.starting[seq] = "spawn"
  return S.await(seq, "spawn")
end

--- Start a child and wait for its end: value, or nil and an error.
function P.run_child(how, id, host, ...)
  local seq, wrong = give(how or NOTHING, id, host, true, nil, ...)
  if not seq then return nil, wrong end
  K.run.starting[seq] = "exec"
  local value, err = S.await(seq, "exec")
  if err then
    -- A child's failure without a kind or a verdict is an internal one that may be retried.
    if err._kind == "" then N.rawset(err, "_kind", "Internal") end
    if err._retryable == nil then N.rawset(err, "_retryable", true) end
  end
  return value, err
end

local function exec(how, id, host, ...)
  local err = check(id, host)
  if err then return nil, err end
  return P.run_child(how, id, host, ...)
end

--- The start part of child `seq` is decided: a spawn resumes, an exec waits for the end.
function P.child_started(run, seq, pid, failure)
  local kind = run.starting[seq]
  run.starting[seq] = nil
  if failure then return S.resolve(run, seq, false, failure) end
  if kind == "exec" then
    run.children[seq] = pid
  elseif kind then
    S.resolve(run, seq, true, pid)
  end
end

--- A spawned child closed: an EXIT event.
function P.child_closed(run, pid, ok, value)
  local result = {}
  if ok then result.value = value else result.error = value end
  K.mailbox.event(run, {kind = "pid.exit", from = pid, result = result})
end

function S.withdraw.exec(run, task)
  S.forget(task.seq)
  run.starting[task.seq] = nil
  S.emit("cancel", run.children[task.seq], nil,
    '{"child":' .. task.seq .. ',"reason":"parent canceled"}')
  return true
end

for name, watch in next, {
  spawn = false, spawn_monitored = "monitor", spawn_linked = "link",
  spawn_linked_monitored = "link_monitor",
} do
  P[name] = function(id, host, ...) return spawn(NOTHING, watch, id, host, ...) end
  methods[name] = function(s, id, host, ...) return spawn(s, watch, id, host, ...) end
end
function P.exec(id, host, ...) return exec(NOTHING, id, host, ...) end
function methods.exec(s, id, host, ...) return exec(s, id, host, ...) end

-- Builder --------------------------------------------------------------------------------------

function methods.with_context(s, t)
  return spawner(s._options, A.merge(s._context, t, "with_context"), s._name, s._messages)
end

function methods.with_options(s, t)
  return spawner(A.merge(s._options, t, "with_options"), s._context, s._name, s._messages)
end

function methods.with_name(s, name)
  if type(name) ~= "string" or name == "" then K.raise("with_name expects a non-empty text") end
  return spawner(s._options, s._context, name, s._messages)
end

function methods.with_message(s, topic, ...)
  if type(topic) ~= "string" or sub(topic, 1, 1) == "@" then
    K.raise("with_message expects a topic that does not start with '@'")
  end
  local copy, wrong = A.copy({topic, ...})
  if not copy then K.raise("with_message: " .. wrong) end
  local messages = {}
  for i = 1, #s._messages do messages[i] = s._messages[i] end
  messages[#messages + 1] = copy
  return spawner(s._options, s._context, s._name, messages)
end

function methods.with_actor(s) return s end
function methods.with_scope(s) return s end

function P.with_context(t) return methods.with_context(NOTHING, t) end
function P.with_options(t) return methods.with_options(NOTHING, t) end

K.modules.process = K.readonly("process", P)
