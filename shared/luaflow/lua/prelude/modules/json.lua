--- The `json` and `payload` modules.
local K = ...
local N = K.native
local codec, mailbox = K.codec, K.mailbox
local type = N.type
local invalid, make_error = K.errors.invalid, K.errors.make

local J = {}

function J.encode(value)
  local text, wrong = codec.encode_plain(value)
  if not text then return nil, make_error("Internal", "json.encode: " .. wrong, false) end
  return text
end

function J.decode(text)
  if type(text) ~= "string" or text == "" then
    return nil, invalid("json.decode expects a non-empty text")
  end
  local ok, value = codec.decode_plain(text)
  if not ok then return nil, make_error("Internal", "json.decode: " .. value, false) end
  return value
end

K.modules.json = K.readonly("json", J)

-- payload --------------------------------------------------------------------------------------

local Y = {
  JSON = "json/plain", YAML = "yaml/plain", STRING = "text/plain",
  BYTES = "application/octet-stream", MSGPACK = "application/msgpack", LUA = "lua/any",
  GOLANG = "golang/any", ERROR = "golang/error",
}
local AS_TEXT = {[Y.STRING] = true, [Y.BYTES] = true}
local AS_VALUE = {[Y.JSON] = true, [Y.LUA] = true, [Y.GOLANG] = true}

function Y.new(value)
  return mailbox.payload(value, Y.LUA)
end

function mailbox.payload_methods.transcode(p, wanted)
  local value = p.value
  local text = AS_TEXT[p.format]
  local function refuse()
    return nil, make_error("Internal", "cannot transcode a payload from " .. p.format .. " to "
      .. K.stable.tostring(wanted), false)
  end
  local result
  if AS_TEXT[wanted] then
    if type(value) == "string" then result = value else result = codec.encode_plain(value) end
    if result == nil then return refuse() end
  elseif AS_VALUE[wanted] then
    result = value
    if text and wanted == Y.JSON then
      local ok, decoded = codec.decode_plain(value)
      if ok then result = decoded end
    end
  else
    return refuse()
  end
  return mailbox.payload(result, wanted)
end

K.modules.payload = K.readonly("payload", Y)
