--- Channels and ordered select between the coroutines of one run.
local K = ...
local N = K.native
local S = K.scheduler
local wake, raise = S.wake, K.raise
local type, rawget, setmetatable, math_type = N.type, N.rawget, N.setmetatable, N.math.type
local system_yield = K.system_yield

local methods = {}
local Channel = K.class("channel", methods)
local CLOSED = {} -- what a blocked sender is woken with when its channel closes
local C = {class = Channel}
K.channel = C

-- Queues: first in first out, with removal from anywhere ------------------------------------

local function add(q, item)
  local last = q.last + 1
  q.last = last
  q[last] = item
end

local function take(q)
  local first = q.first
  local item = q[first]
  q[first] = nil
  q.first = first + 1
  -- Removed waiters leave holes; keep the front a real one.
  while q.first <= q.last and q[q.first] == C do
    q[q.first] = nil
    q.first = q.first + 1
  end
  return item
end

local function remove(q, item)
  for i = q.last, q.first, -1 do
    if q[i] == item then
      q[i] = C
      break
    end
  end
  while q.last >= q.first and q[q.last] == C do
    q[q.last] = nil
    q.last = q.last - 1
  end
  while q.first <= q.last and q[q.first] == C do
    q[q.first] = nil
    q.first = q.first + 1
  end
end

--- A channel with room for `capacity` values; `mail` if messages of the run arrive in it.
function C.make(capacity, mail)
  return setmetatable({
    _capacity = capacity, _closed = false, _mail = mail or false,
    _values = {first = 1, last = 0}, _receivers = {first = 1, last = 0},
    _senders = {first = 1, last = 0},
  }, Channel)
end

local function checked(ch, method)
  if not K.isa(ch, Channel) then
    raise("channel:" .. method .. " expects a channel; call it with ':'")
  end
end

-- Waiters: {task, select record or false, index of the case, value to send} ------------------

-- A select ended by `waiter`: withdraw its other cases.
local function leave(record, but)
  local waiters = record.waiters
  for i = 1, #waiters do
    local waiter = waiters[i]
    if waiter ~= but then remove(waiter.queue, waiter) end
  end
end

local function give(run, waiter, ch, value, ok)
  local record = waiter.record
  if not record then return wake(run, waiter.task, value, ok) end
  leave(record, waiter)
  wake(run, waiter.task, {channel = ch, value = value, ok = ok})
end

local function sent(run, waiter, ch)
  local record = waiter.record
  if not record then return wake(run, waiter.task, true) end
  leave(record, waiter)
  wake(run, waiter.task, {channel = ch, ok = true})
end

-- Entries of the mailbox become messages or payloads when somebody takes them.
local function opened(ch, value)
  if ch._mail then return K.mailbox.take(value) end
  return value
end

-- (ready, value, ok) without waiting.
local function poll_receive(run, ch)
  local values, senders = ch._values, ch._senders
  if values.first <= values.last then
    local value = take(values)
    if senders.first <= senders.last and values.last - values.first + 1 < ch._capacity then
      local waiter = take(senders)
      add(values, waiter.value)
      sent(run, waiter, ch)
    end
    return true, opened(ch, value), true
  end
  if senders.first <= senders.last then
    local waiter = take(senders)
    local value = waiter.value
    sent(run, waiter, ch)
    return true, value, true
  end
  if ch._closed then return true, nil, false end
  return false
end

local function poll_send(run, ch, value)
  if ch._closed then raise("send on closed channel") end
  local receivers, values = ch._receivers, ch._values
  if receivers.first <= receivers.last then
    give(run, take(receivers), ch, value, true)
    return true
  end
  if values.last - values.first + 1 < ch._capacity then
    values.last = values.last + 1
    values[values.last] = value
    return true
  end
  return false
end

--- A value for a channel from the kernel: never waits, never refuses for lack of room.
function C.push(run, ch, value)
  local receivers = ch._receivers
  if receivers.first <= receivers.last then
    local waiter = take(receivers)
    if ch._mail then
      -- It is taken when the task runs: the run may end before.
      waiter.task.got = value
      value = K.mailbox.open(value)
    end
    give(run, waiter, ch, value, true)
  else
    local values = ch._values
    values.last = values.last + 1
    values[values.last] = value
  end
end

--- True when a kernel value would find room.
function C.has_room(ch)
  local values = ch._values
  return ch._receivers.first <= ch._receivers.last
    or values.last - values.first + 1 < ch._capacity
end

function methods.receive(ch)
  checked(ch, "receive")
  local run = K.run
  local ready, value, ok = poll_receive(run, ch)
  if ready then return value, ok end
  local stop = S.enter("channel:receive")
  if stop then return nil, stop end
  local task = run.task
  local waiter = {task = task, record = false, queue = ch._receivers}
  add(ch._receivers, waiter)
  task.blocked, task.waiter, task.mail = "receive", waiter, ch._mail
  return system_yield()
end

function methods.send(ch, value)
  checked(ch, "send")
  local run = K.run
  if poll_send(run, ch, value) then return true end
  local stop = S.enter("channel:send")
  if stop then return nil, stop end
  local task = run.task
  local waiter = {task = task, record = false, queue = ch._senders, value = value}
  add(ch._senders, waiter)
  task.blocked, task.waiter = "send", waiter
  local answer, err = system_yield()
  if answer == CLOSED then raise("send on closed channel") end
  return answer, err
end

--- Close from the kernel or the user: waiting receivers get nil, false.
function C.close(run, ch)
  if ch._closed then return end
  ch._closed = true
  local receivers, senders = ch._receivers, ch._senders
  while receivers.first <= receivers.last do
    give(run, take(receivers), ch, nil, false)
  end
  while senders.first <= senders.last do
    local waiter = take(senders)
    if waiter.record then leave(waiter.record, waiter) end
    wake(run, waiter.task, CLOSED)
  end
end

function methods.close(ch)
  checked(ch, "close")
  C.close(K.run, ch)
end

-- Select ---------------------------------------------------------------------------------------

local Case = K.class("channel.case", {})

function methods.case_receive(ch)
  checked(ch, "case_receive")
  return setmetatable({_channel = ch, _send = false}, Case)
end

function methods.case_send(ch, value)
  checked(ch, "case_send")
  return setmetatable({_channel = ch, _send = true, _value = value}, Case)
end

local function first_ready(run, cases, n)
  for i = 1, n do
    local case = rawget(cases, i)
    local ch = case._channel
    if case._send then
      if poll_send(run, ch, rawget(case, "_value")) then return {channel = ch, ok = true} end
    else
      local ready, value, ok = poll_receive(run, ch)
      if ready then return {channel = ch, value = value, ok = ok} end
    end
  end
end

local function wait_any(run, cases, n)
  local task = run.task
  local record = {waiters = {}}
  local mail = false
  for i = 1, n do
    local case = rawget(cases, i)
    local ch = case._channel
    local queue = case._send and ch._senders or ch._receivers
    local waiter = {task = task, record = record, queue = queue, value = rawget(case, "_value")}
    record.waiters[i] = waiter
    add(queue, waiter)
    mail = mail or ch._mail and not case._send
  end
  task.blocked, task.waiter, task.mail = "select", record, mail
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
  return K.stable.own(C.make(capacity))
end

function M.select(cases, default)
  if type(cases) ~= "table" then raise("channel.select: expected a list of cases") end
  if rawget(cases, "default") ~= nil then default = rawget(cases, "default") end
  local n = 0
  while rawget(cases, n + 1) ~= nil do
    n = n + 1
    if not K.isa(rawget(cases, n), Case) then
      raise("channel.select: case " .. n .. " must be made by case_receive() or case_send(value)")
    end
  end
  local run = K.run
  local result = first_ready(run, cases, n)
  if result then return result end
  if default then
    -- Before "nothing is there" is said, the rest of the batch's messages is looked at.
    if not run.pure and K.mailbox.take_ahead(run) then result = first_ready(run, cases, n) end
    return result or {default = true, ok = true}
  end
  local stop = S.enter("channel.select")
  if stop then return nil, stop end
  return wait_any(run, cases, n)
end

K.modules.channel = K.readonly("channel", M)

-- Cancellation ---------------------------------------------------------------------------------

local function withdraw_waiter(_, task)
  remove(task.waiter.queue, task.waiter)
  return true
end
S.withdraw.receive = withdraw_waiter
S.withdraw.send = withdraw_waiter

function S.withdraw.select(_, task)
  leave(task.waiter)
  return true
end
