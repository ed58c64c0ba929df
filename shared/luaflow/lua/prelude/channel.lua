--- Channels and ordered select between the coroutines of one run.
local K = ...
local N = K.native
local S = K.scheduler
local wake, raise = S.wake, K.raise
local type, rawget, setmetatable, math_type = N.type, N.rawget, N.setmetatable, N.math.type
local system_yield = K.system_yield
local STATE = K.STATE

local Channel, methods = K.class("channel")
local add, take, none = K.queues.add, K.queues.take, K.queues.none
local take_waiter, remove = K.queues.take_waiter, K.queues.remove
local CLOSED = {} -- what a blocked sender is woken with when its channel closes
local C = {class = Channel}
K.channel = C

--- The state of a channel with room for `capacity` values; users see its `object`.
-- `mail`: messages of the run arrive in it, so waiting for it is no deadlock.
function C.make(capacity, mail)
  local c = {
    capacity = capacity, closed = false, mail = mail or false,
    values = none, receivers = none, senders = none, object = false,
  }
  c.object = setmetatable({[STATE] = c}, Channel)
  return c
end

-- Waiters: {task, channel, queue, select record or false}, a sender's with its value, one that left
-- with `gone` ---------------------------------------------------------------------------------

local function wait_in(c, name, task, record)
  local waiter = {task = task, channel = c, queue = false, record = record}
  waiter.queue = add(c, name, waiter)
  return waiter
end

local function wait_to_send(c, task, record, value)
  local waiter = {task = task, channel = c, queue = false, record = record, value = value}
  waiter.queue = add(c, "senders", waiter)
  return waiter
end

-- A select ended by `waiter`: withdraw its other cases.
local function leave(record, but)
  local waiters = record.waiters
  for i = 1, #waiters do
    local waiter = waiters[i]
    if waiter ~= but then remove(waiter) end
  end
end

local function give(run, waiter, c, value, ok)
  local record = waiter.record
  if not record then return wake(run, waiter.task, value, ok) end
  leave(record, waiter)
  wake(run, waiter.task, {channel = c.object, value = value, ok = ok})
end

local function sent(run, waiter, c)
  local record = waiter.record
  if not record then return wake(run, waiter.task, true) end
  leave(record, waiter)
  wake(run, waiter.task, {channel = c.object, ok = true})
end

--- True while a message may end the wait of a task: `what` is its channel or its select record.
function C.expects_mail(what)
  if what.mail ~= nil then return what.mail end
  local waiters = what.waiters
  for i = 1, #waiters do
    local c = waiters[i].channel
    if c.mail and waiters[i].queue == c.receivers then return true end
  end
  return false
end

-- (ready, value, ok) without waiting.
local function poll_receive(run, c)
  local values, senders = c.values, c.senders
  if values.first <= values.last then
    local value = take(values)
    if senders.first <= senders.last and values.last - values.first + 1 < c.capacity then
      local waiter = take_waiter(senders)
      add(c, "values", waiter.value)
      sent(run, waiter, c)
    end
    -- Entries of the mailbox become messages or payloads when somebody takes them.
    return true, K.mailbox.take(run, value), true
  end
  if senders.first <= senders.last then
    local waiter = take_waiter(senders)
    local value = waiter.value
    sent(run, waiter, c)
    return true, value, true
  end
  if c.closed then return true, nil, false end
  return false
end

-- True when `value` was handed over without waiting; raises on a closed channel.
local function poll_send(run, c, value)
  if c.closed then raise("send on closed channel") end
  local receivers, values = c.receivers, c.values
  if receivers.first <= receivers.last then
    give(run, take_waiter(receivers), c, value, true)
    return true
  end
  if values.last - values.first + 1 < c.capacity then
    add(c, "values", value)
    return true
  end
  return false
end

--- A value for a channel from the kernel: never waits, never refuses for lack of room.
function C.push(run, c, value)
  local receivers = c.receivers
  if receivers.first <= receivers.last then
    local waiter = take_waiter(receivers)
    if c.mail then
      -- It is taken when the task runs: the run may end before.
      waiter.task.got = value
      value = K.mailbox.open(value)
    end
    give(run, waiter, c, value, true)
  else
    add(c, "values", value)
  end
end

--- True when a kernel value would find room.
function C.has_room(c)
  local values = c.values
  return c.receivers.first <= c.receivers.last or values.last - values.first + 1 < c.capacity
end

function methods.receive(c)
  local run = K.run
  if run.pure then S.impure("channel:receive") end
  local ready, value, ok = poll_receive(run, c)
  if ready then return value, ok end
  local stop = S.may_wait("channel:receive")
  if stop then return nil, stop end
  local task = run.task
  task.waiter = wait_in(c, "receivers", task, false)
  task.blocked, task.mail = "receive", c
  return system_yield()
end

function methods.send(c, value)
  local run = K.run
  if run.pure then S.impure("channel:send") end
  if poll_send(run, c, value) then return true end
  local stop = S.may_wait("channel:send")
  if stop then return nil, stop end
  local task = run.task
  task.waiter = wait_to_send(c, task, false, value)
  task.blocked = "send"
  local answer, err = system_yield()
  if answer == CLOSED then raise("send on closed channel") end
  return answer, err
end

--- Close from the kernel or the user: waiting receivers get nil, false.
function C.close(run, c)
  if c.closed then return end
  c.closed = true
  local receivers, senders = c.receivers, c.senders
  while receivers.first <= receivers.last do
    give(run, take_waiter(receivers), c, nil, false)
  end
  while senders.first <= senders.last do
    local waiter = take_waiter(senders)
    if waiter.record then leave(waiter.record, waiter) end
    wake(run, waiter.task, CLOSED)
  end
end

function methods.close(c)
  if K.run.pure then S.impure("channel:close") end
  C.close(K.run, c)
end

-- Select ---------------------------------------------------------------------------------------

local Case = K.class("channel.case")

function methods.case_receive(c)
  return setmetatable({[STATE] = {channel = c, send = false}}, Case)
end

function methods.case_send(c, value)
  return setmetatable({[STATE] = {channel = c, send = true, value = value}}, Case)
end

-- The states of the cases in a user's list, and how many.
local function cases_of(list)
  local cases, n = {}, 0
  local case = rawget(list, 1)
  while case ~= nil do
    n = n + 1
    if not K.isa(case, Case) then
      raise("channel.select: case " .. n .. " must be made by case_receive() or case_send(value)")
    end
    cases[n] = case[STATE]
    case = rawget(list, n + 1)
  end
  return cases, n
end

local function first_ready(run, cases, n)
  for i = 1, n do
    local case = cases[i]
    local c = case.channel
    if case.send then
      if poll_send(run, c, case.value) then return {channel = c.object, ok = true} end
    else
      local ready, value, ok = poll_receive(run, c)
      if ready then return {channel = c.object, value = value, ok = ok} end
    end
  end
end

local function wait_any(run, cases, n)
  local task, record = run.task, {waiters = {}}
  for i = 1, n do
    local case = cases[i]
    local c = case.channel
    record.waiters[i] = case.send and wait_to_send(c, task, record, case.value)
      or wait_in(c, "receivers", task, record)
  end
  task.blocked, task.waiter, task.mail = "select", record, record
  local answer, err = system_yield()
  if answer == CLOSED then raise("send on closed channel") end
  return answer, err
end

local M = {}

function M.new(capacity)
  if capacity ~= nil and math_type(capacity) ~= "integer" then
    local whole = type(capacity) == "number" and N.math.tointeger(capacity)
    if not whole then raise("channel.new: the size must be a whole number") end
    capacity = whole
  end
  if not capacity or capacity < 0 then capacity = 0 end
  return K.stable.own(C.make(capacity).object)
end

function M.select(list, default)
  if type(list) ~= "table" then raise("channel.select: expected a list of cases") end
  if rawget(list, "default") ~= nil then default = rawget(list, "default") end
  local cases, n = cases_of(list)
  local run = K.run
  if run.pure then S.impure("channel.select") end
  local result = first_ready(run, cases, n)
  if result then return result end
  if default then
    -- Before "nothing is there" is said, the rest of the batch's messages is looked at.
    if K.mailbox.take_ahead(run) then result = first_ready(run, cases, n) end
    return result or {default = true, ok = true}
  end
  local stop = S.may_wait("channel.select")
  if stop then return nil, stop end
  return wait_any(run, cases, n)
end

K.modules.channel = K.readonly("channel", M)

-- Cancellation ---------------------------------------------------------------------------------

local function withdraw_waiter(_, task)
  remove(task.waiter)
  return true
end
S.withdraw.receive, S.withdraw.send = withdraw_waiter, withdraw_waiter

function S.withdraw.select(_, task)
  leave(task.waiter)
  return true
end
