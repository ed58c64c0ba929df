--- A process that is no workflow: its messages, events and end come from its node.
local K = ...
local N = K.native
local S, mailbox, codec, P = K.scheduler, K.mailbox, K.codec, K.process
local setmetatable, next, unpack = N.setmetatable, N.next, N.table.unpack
local decode = codec.decode
local make_error = K.errors.make

--- Operation of a step -> function(run, ...); the door adds those of all runs.
local ops = {}
K.ops = ops

-- Events of these processes answer event:payload() besides their fields.
local Event = {__metatable = false, __name = "process.Event", __index = {
  payload = function(event)
    return mailbox.payload({
      kind = event.kind, from = event.from, at = event.at, reason = event.reason,
      result = event.result,
    })
  end,
}}
K.stable.open_metatables[Event] = true

-- Messages and events that may wait to be taken: more is a process that forgot to look.
local MAX_MAIL = 100000

-- True when there is room for one more in the mailbox; else the process ends.
-- What arrives is numbered, so that what nobody took keeps its order when the code is exchanged.
local function admit(run, entry)
  local received = run.received + 1
  run.received, entry.id = received, received
  if received - run.took <= MAX_MAIL then return true end
  run.fail(run, make_error("RateLimited", "its mailbox holds more than " .. MAX_MAIL
    .. " messages that nobody takes: receive them, or end the process", false))
  return false
end

local function arrive_event(run, event, entry)
  if not admit(run, entry) then return end
  mailbox.arrive_event(run, setmetatable(event, Event), entry)
  if event.kind == "pid.cancel" then
    run.cancel_requested = true
    if run.options.interrupt_on_cancel then S.interrupt(run, entry) end
  end
  S.drive(run)
end

--- A message: topic, sender, JSON array of its payloads.
function ops.deliver(run, topic, from, payloads)
  local values, n = decode(payloads)
  local entry = {topic = topic, from = from, values = values, n = n or 0, raw = false}
  if not admit(run, entry) then return end
  mailbox.arrive(run, entry)
  S.drive(run)
end

--- An event for process.events(), as JSON.
function ops.event(run, text)
  arrive_event(run, decode(text), {})
end

--- Somebody asks the process to end; its code decides.
function ops.cancel(run, from, reason)
  arrive_event(run, {kind = "pid.cancel", from = from, reason = reason}, {})
end

--- The context of a call is cancelled: code that looks at its events is told, other code ends here.
function ops.cancel_call(run, from, reason, asks)
  if run.looks or run.options.interrupt_on_cancel then return ops.cancel(run, from, reason) end
  if asks then return end
  run.fail(run, S.canceled())
end

--- A linked process failed.
function ops.link_down(run, text)
  if run.options.trap_links then return ops.event(run, text) end
  run.fail(run, make_error("Internal", "linked process failed", false))
end

-- Exchange of the code -------------------------------------------------------------------------

-- The entry of the mailbox as JSON text in the shape that `inherit` takes.
local function packed(entry)
  if entry.event then return {event = (codec.encode(entry.event))} end
  return {
    topic = entry.topic, from = entry.from,
    payloads = (codec.encode_args(entry.n, unpack(entry.values, 1, entry.n))),
  }
end

--- What a process takes along when its code is exchanged: options, and what nobody took, as JSON.
function P.belongings(run)
  local left, mail = {}, {}
  for entry in next, run.unread do left[#left + 1] = entry end
  K.guard.charge(100 * #left)
  N.table.sort(left, function(a, b) return a.id < b.id end)
  for i = 1, #left do mail[i] = packed(left[i]) end
  return (codec.encode({options = run.options, mail = mail}))
end

--- Take over what the process had before its code was exchanged; no code runs.
function ops.inherit(run, text)
  local had = decode(text)
  for key, value in next, had.options do run.options[key] = value end
  for i = 1, #had.mail do
    local one = had.mail[i]
    if one.event then ops.event(run, one.event) else ops.deliver(run, one.topic, one.from, one.payloads) end
  end
end
