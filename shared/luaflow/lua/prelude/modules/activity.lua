--- The `activity` module: what an activity may know of its attempt, and say about it.
local K = ...
local S, A, codec = K.scheduler, K.calls, K.codec
local type, invalid = K.native.type, K.errors.invalid

local V = {}

-- Ask Python; the answer, or nil and the error of code that is no activity.
local function ask(verb, text)
  local stop = S.enter("activity." .. verb)
  if stop then return nil, stop end
  local answer, wrong = S.service("activity", verb, text)
  if wrong then return nil, invalid("activity." .. verb .. ": " .. wrong) end
  return codec.decode(answer)
end

function V.info() return ask("info") end
function V.heartbeat_details() return ask("heartbeat_details") end
function V.is_cancelled() return ask("is_cancelled") end
function V.defer() return ask("defer") end

function V.heartbeat(details)
  local text, wrong
  if details ~= nil then
    text, wrong = codec.encode(details)
    if wrong then return nil, invalid("activity.heartbeat: " .. wrong) end
  end
  return ask("heartbeat", text)
end

local function told(verb, token, value)
  if type(token) ~= "string" or token == "" then
    return nil, invalid("activity." .. verb .. ": the token of activity.defer() required")
  end
  return A.io("activity." .. verb, token, value)
end

function V.complete(token, value) return told("complete", token, value) end
function V.fail(token, err) return told("fail", token, err) end

K.modules.activity = K.readonly("activity", V)
