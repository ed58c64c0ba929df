--- Messages of a run: who gets them, what is kept, what was never taken.
local K = ...
local N = K.native
local C = K.channel
local S = K.scheduler
local type, sub, setmetatable = N.type, N.string.sub, N.setmetatable
local raw_metatable = N.debug.getmetatable
local push = C.push
local STATE = K.STATE

local M = {}
K.mailbox = M

-- Objects --------------------------------------------------------------------------------------

local Payload, payload_methods = K.class("payload")
M.payload_methods = payload_methods

function M.payload(value, format)
  return setmetatable({[STATE] = {value = value, format = format or "json/plain"}}, Payload)
end

function payload_methods.data(p) return p.value, nil end
function payload_methods.unmarshal(p) return p.value, nil end
function payload_methods.get_format(p) return p.format end
function Payload.__tostring(p) return "payload{format=" .. p[STATE].format .. "}" end
K.plain_of[Payload] = function(p) return p[STATE].value end

-- The state of a message is its entry.
local Message, message_methods = K.class("process.Message")

function message_methods.topic(m) return m.topic end
function message_methods.from(m) return m.from end
function message_methods.payload(m)
  local n, values = m.n, m.values
  if n == 0 then return nil end
  if n == 1 then return M.payload(values[1]) end
  local list = {}
  for i = 1, n do list[i] = M.payload(values[i]) end
  return list
end
function Message.__tostring(m) return "process.Message{topic=" .. m[STATE].topic .. "}" end

-- Entries --------------------------------------------------------------------------------------

-- What travels through channels until somebody takes it: kernel-private, so user values
-- in the same channel cannot be mistaken for one.
local Entry = {__metatable = false, __name = "message"}

--- Code has this message now: nobody else needs it.
-- An update is needed until it is answered: a run that continues as new hands it over.
function M.taken(run, entry)
  if run.unread[entry] and not entry.update then M.settled(run, entry) end
end

--- The same of an update that is answered.
function M.settled(run, entry)
  if run.unread[entry] then
    run.unread[entry] = nil
    run.mail_changed, run.took = true, run.took + 1
  end
end

--- The value a taker of `entry` sees; user values pass through.
function M.take(run, entry)
  if type(entry) ~= "table" or raw_metatable(entry) ~= Entry then return entry end
  M.taken(run, entry)
  return M.open(entry)
end

--- The same, before it is taken.
function M.open(entry)
  if type(entry) ~= "table" or raw_metatable(entry) ~= Entry then return entry end
  if entry.event then return entry.event end
  if not entry.raw then return setmetatable({[STATE] = entry}, Message) end
  if entry.n == 1 then return entry.values[1] end
  if entry.n > 1 then return entry.values end
end

local function hand(run, listener, entry)
  entry.raw = listener.raw
  push(run, listener.channel, entry)
end

-- Contract rule 7: exact listener, else inbox if ever asked for, else kept in order.
local function route(run, entry)
  local listener = run.listeners[entry.topic]
  if listener then return hand(run, listener, entry) end
  if run.inbox and sub(entry.topic, 1, 1) ~= "@" then return push(run, run.inbox, entry) end
  run.kept[#run.kept + 1] = entry
end

-- Give kept messages that `wanted` accepts to `give`, in order.
local function release(run, wanted, give)
  local kept, still = run.kept, {}
  run.kept = still
  for i = 1, #kept do
    if wanted(kept[i]) then give(kept[i]) else still[#still + 1] = kept[i] end
  end
end
M.release = release

--- The inbox; from now on it gets what no listener takes.
function M.inbox(run)
  if not run.inbox then
    run.inbox = C.make(0, true)
    release(run, function(entry) return sub(entry.topic, 1, 1) ~= "@" end,
      function(entry) push(run, run.inbox, entry) end)
  end
  return run.inbox
end

--- The channel that listens to a topic: `channel` (or a new one) when there is none yet.
function M.listen(run, topic, raw, channel)
  local listener = run.listeners[topic]
  if not listener then
    listener = {channel = channel or C.make(1), raw = raw}
    listener.channel.mail = true
    run.listeners[topic] = listener
    release(run, function(entry) return entry.topic == topic end,
      function(entry) hand(run, listener, entry) end)
  end
  return listener.channel
end

--- Stop listening with `channel`, whatever its topics; it is closed if asked.
function M.unlisten(run, channel, close)
  local topics = {}
  for topic, listener in N.next, run.listeners do
    if listener.channel == channel then topics[#topics + 1] = topic end
  end
  for i = 1, #topics do run.listeners[topics[i]] = nil end
  -- Whoever waits there now waits for other coroutines only.
  channel.mail = channel == run.inbox or channel == run.events
  if close then C.close(run, channel) end
end

-- Feeding --------------------------------------------------------------------------------------

--- Give a message that is in no history (topic, from, values, n, id) to whoever listens, or keep it.
function M.arrive(run, entry)
  run.unread[entry] = true
  route(run, setmetatable(entry, Entry))
end

--- The same for an event of such a run.
function M.arrive_event(run, event, entry)
  run.unread[entry] = true
  M.event(run, event, setmetatable(entry, Entry))
end

local function rfc3339(run)
  return K.rfc3339 and K.rfc3339(run.now) or ""
end

--- The channel of events.
function M.events(run)
  if not run.events then run.events = C.make(0, true) end
  return run.events
end

--- Put an event on process.events(); it stays there until somebody takes it.
function M.event(run, event, entry)
  event.at = event.at or rfc3339(run)
  if entry then
    entry.event = event
    push(run, M.events(run), entry)
  else
    push(run, M.events(run), event)
  end
end

local function cancel(run, entry)
  run.cancel_requested = true
  M.event(run, {kind = "pid.cancel", from = entry.from, reason = entry.values[1]}, entry)
  if run.options.interrupt_on_cancel then S.interrupt(run, entry) end
end

-- ahead: {ts, id, size, kind, topic, from, payloads, update_id}
local function accept(run, row)
  K.advance(run, row[1], row[2], row[3])
  local values = row[7] or {}
  local entry = setmetatable({
    id = row[2], topic = row[5] or "", from = row[6] or "", values = values, n = #values,
    raw = false,
  }, Entry)
  run.unread[entry], run.mail_changed = true, true
  local arrived = run.arrived
  arrived[#arrived + 1] = entry
  if row[4] == "cancel" then return cancel(run, entry) end
  if row[8] ~= nil then
    entry.update = row[8]
    run.updates[row[8]] = {state = "admitted", entry = entry}
    run.open_updates = run.open_updates + 1
    entry.from = "{update|" .. row[8] .. "}"
    if K.handlers.serve(run, entry) then return end
  end
  route(run, entry)
end

--- Feed the next message of the batch.
function M.feed(run)
  local first = run.ahead_first
  local row = run.ahead[first]
  if not row then return end
  run.ahead[first] = nil
  run.ahead_first = first + 1
  accept(run, row)
end

--- Move all messages of the batch not yet fed into the mailbox; true if there were any.
function M.take_ahead(run)
  local any = false
  while run.ahead[run.ahead_first] do
    M.feed(run)
    any = true
  end
  return any
end

--- How many messages of the batch are not fed yet.
function M.ahead_count(run)
  return run.ahead_last - run.ahead_first + 1
end

--- Hand over the batch's messages; no code runs.
function M.add_ahead(run, rows, n)
  for i = 1, n do run.ahead[run.ahead_last + i] = rows[i] end
  run.ahead_last = run.ahead_last + n
end

--- Event ids of the messages nobody took, in order, with those not fed yet.
function M.unread_ids(run)
  local ids, left = {}, {}
  for i = 1, #run.arrived do
    local entry = run.arrived[i]
    if run.unread[entry] then
      left[#left + 1] = entry
      ids[#ids + 1] = entry.id
    end
  end
  run.arrived, run.mail_changed = left, false
  for i = run.ahead_first, run.ahead_last do ids[#ids + 1] = run.ahead[i][2] end
  N.table.sort(ids)
  return ids
end
