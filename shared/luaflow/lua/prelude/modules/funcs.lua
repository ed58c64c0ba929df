--- The `funcs` module: activity calls, futures, fan-out.
local K = ...
local N = K.native
local S, A, codec = K.scheduler, K.calls, K.codec
local channel, mailbox = K.channel, K.mailbox
local type, setmetatable, tostring = N.type, N.setmetatable, N.tostring
local make_error, invalid = K.errors.make, K.errors.invalid
local STATE, own = K.STATE, K.stable.own

-- The Invalid error of options that were not looked at yet, or nil.
local function check_options(executor, id)
  local err = A.check_id(id, "function") or A.check_options("activity", id, executor.options)
  if not err then executor.options_new = false end
  return err
end

-- Give the command of one call; its number, or nil and an error.
local function schedule(executor, id, ...)
  local err = A.check_id(id, "function")
  if err then return nil, err end
  local data, wrong = A.arguments(...)
  if wrong then return nil, wrong end
  local op = K.run.local_activities[id] and "local_activity" or "activity"
  return S.emit(op, id, data, executor and executor.extra or nil)
end

-- Why a call cannot be made now, or nil.
local function refused(executor, id)
  local stop = S.enter("funcs.call")
  if stop then return stop end
  if executor and executor.options_new then return check_options(executor, id) end
end

local function waits_for_end(executor)
  return executor and A.option(executor.options, "activity", "wait_for_cancellation") == true
end

local function perform(run, task, executor, id, ...)
  local seq, err = schedule(executor, id, ...)
  if not seq then return S.wake(run, task, nil, err) end
  S.hold(run, task, seq, waits_for_end(executor) and "activity to end" or "activity")
end

local function call(executor, id, ...)
  local err = refused(executor, id)
  if err then return nil, err end
  return S.request(perform, executor, id, ...)
end

-- Ask for the end of a running activity.
local function cancel_activity(seq)
  S.emit("cancel_activity", tostring(seq))
end

function S.withdraw.activity(_, task)
  S.forget(task.seq)
  cancel_activity(task.seq)
  return true
end

-- With wait_for_cancellation the call returns when the activity really ended.
S.withdraw["activity to end"] = function(_, task)
  cancel_activity(task.seq)
  return false
end

-- Futures --------------------------------------------------------------------------------------

local Future, future_methods = K.class("Future")

-- The outcome of a future's command.
local function ended(ok, value, future)
  future.done, future.ok, future.value = true, ok, value
  if future.canceled then return end
  local run = K.run
  if ok then value = mailbox.payload(value) end
  channel.push(run, future.channel, value)
  channel.close(run, future.channel)
end

local function perform_async(_, _, executor, id, ...)
  local seq, err = schedule(executor, id, ...)
  if not seq then return true, nil, err end
  local future = {
    seq = seq, channel = channel.make(1), done = false, canceled = false, ok = false, value = nil,
    held = waits_for_end(executor), ended = ended,
  }
  S.expect(seq, future)
  return true, own(setmetatable({[STATE] = future}, Future))
end

local function async(executor, id, ...)
  local err = refused(executor, id)
  if err then return nil, err end
  return S.request(perform_async, executor, id, ...)
end

function future_methods.response(f) return own(f.channel.object) end
function future_methods.channel(f) return own(f.channel.object) end
function future_methods.is_complete(f) return f.done end
function future_methods.is_canceled(f) return f.canceled end

function future_methods.result(f)
  if f.canceled then return nil, make_error("Canceled", "canceled", false) end
  if not f.done then return nil, nil end
  if not f.ok then return nil, f.value end
  return mailbox.payload(f.value), nil
end

function future_methods.error(f)
  if f.canceled then return make_error("Canceled", "canceled", false), true end
  if f.done and not f.ok then
    -- The kind is Internal whatever it was (contract 9.4); result() has it.
    local e = f.value
    return make_error("Internal", e:message(), e:retryable(), e:details()), true
  end
  return nil, false
end

function future_methods.cancel(f)
  if K.run.pure then S.impure("future:cancel") end
  if f.done or f.canceled then return true end
  f.canceled = true
  if not f.held then S.forget(f.seq) end
  cancel_activity(f.seq)
  channel.close(K.run, f.channel)
  return true
end

-- Executors ------------------------------------------------------------------------------------

local Executor, executor_methods = K.class("funcs.Executor")

local function executor(options, context)
  return setmetatable({[STATE] = {
    options = options, context = context, options_new = N.next(options) ~= nil,
    extra = A.options_text(options, context) or false,
  }}, Executor)
end

function executor_methods.with_context(e, t)
  return executor(e.options, A.merge(e.context, t, "with_context"))
end

function executor_methods.with_options(e, t)
  return executor(A.merge({}, t, "with_options"), e.context)
end

function executor_methods.with_actor(e) return executor(e.options, e.context) end
function executor_methods.with_scope(e) return executor(e.options, e.context) end
function executor_methods.call(e, id, ...) return call(e, id, ...) end
function executor_methods.async(e, id, ...) return async(e, id, ...) end

-- Fan-out --------------------------------------------------------------------------------------

local function map(self, id, list, options)
  if type(list) ~= "table" then return nil, invalid("funcs.map: expected a list") end
  local n = #list
  local limit = type(options) == "table" and options.concurrency or n
  if N.math.type(limit) ~= "integer" or limit < 1 and n > 0 then
    return nil, invalid("funcs.map: concurrency must be a whole number from 1")
  end
  local results, open, failure = {}, 0, nil
  local run, next_item = K.run, 1
  local task, waiting = run.task, false
  local running = {}
  local function start()
    local i = next_item
    next_item = i + 1
    local seq, err
    local stop = refused(self, id)
    if not stop then seq, err = schedule(self, id, list[i]) end
    if not seq then
      failure = failure or stop or err
      return
    end
    open = open + 1
    running[seq] = true
    S.on_end(seq, function(ok, value)
      running[seq] = nil
      open = open - 1
      if ok then results[i] = value else failure = failure or value end
      if waiting then
        waiting = false
        S.wake(run, task)
      end
    end)
  end
  while true do
    while not failure and open < limit and next_item <= n do start() end
    if failure or open == 0 then break end
    waiting = true
    task.running = running
    local _, stop = S.block("map")
    if stop then failure = stop end
  end
  K.calls.abandon(running, cancel_activity)
  return results, failure
end

--- Forget pending commands and ask for their end, in the order they were given.
function K.calls.abandon(running, cancel)
  local left = {}
  for seq in N.next, running do left[#left + 1] = seq end
  N.table.sort(left)
  for i = 1, #left do
    S.room(K.run)
    if S.forget(left[i]) then cancel(left[i]) end
  end
end

function S.withdraw.map() return true end

function executor_methods.map(e, id, list, options) return map(e, id, list, options) end

K.modules.funcs = K.readonly("funcs", {
  call = function(id, ...) return call(nil, id, ...) end,
  async = function(id, ...) return async(nil, id, ...) end,
  map = function(id, list, options) return map(nil, id, list, options) end,
  new = function() return executor({}, {}) end,
})
