--- The `events` module: a bus inside one process of luaflow, best effort.
local K = ...
local N = K.native
local A, S, channel, codec = K.calls, K.scheduler, K.channel, K.codec
local setmetatable, type, tostring = N.setmetatable, N.type, N.tostring
local STATE, own, invalid = K.STATE, K.stable.own, K.errors.invalid

local BUFFER = 64

local Subscription, methods = K.class("events.Subscription")

-- Ask for the next event; its answer puts it on the channel and asks again.
local function follow(subscription)
  local data = codec.encode({subscription.id})
  subscription.seq = S.emit("io", "events.next", data)
  S.on_end(subscription.seq, function(ok, event)
    subscription.seq = false
    if not ok then return channel.close(K.run, subscription.channel) end
    if channel.has_room(subscription.channel) then
      channel.push(K.run, subscription.channel, event)
    end
    follow(subscription)
  end)
end

function methods.channel(s) return s.channel.object end
function methods.response(s) return s.channel.object end

function methods.close(s)
  if s.open then
    s.open = false
    if s.seq and S.forget(s.seq) then S.emit("cancel_timer", tostring(s.seq)) end
    S.service("events.unsubscribe", s.id)
    channel.close(K.run, s.channel)
  end
  return true
end

local E = {}

local function empty(value) return type(value) ~= "string" or value == "" end

function E.subscribe(system, kind)
  if empty(system) then return nil, invalid("events.subscribe expects a system or a pattern") end
  if kind ~= nil and type(kind) ~= "string" then
    return nil, invalid("events.subscribe: the kind must be a text")
  end
  local id, err = S.service("events.subscribe", system, kind or "")
  if err then return nil, err end
  local subscription = {id = id, open = true, seq = false, channel = channel.make(BUFFER)}
  own(subscription.channel.object)
  follow(subscription)
  return own(setmetatable({[STATE] = subscription}, Subscription))
end

function E.send(system, kind, path, data)
  if empty(system) then return nil, invalid("events.send expects a system") end
  if empty(kind) then return nil, invalid("events.send expects a kind") end
  if empty(path) then return nil, invalid("events.send expects a path") end
  local text, err = A.arguments(data)
  if not text then return nil, err end
  return (S.service("events.send", system, kind, path, text))
end

K.modules.events = K.readonly("events", E)
