--- The `json` and `payload` modules.
local K = ...
local N = K.native
local A, codec, mailbox = K.calls, K.codec, K.mailbox
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

-- Schemas --------------------------------------------------------------------------------------

-- Bytes of a schema and of data: Python reads both without a budget.
local MAX_SCHEMA, MAX_DATA = 262144, 1048576

local function too_large(what, text, most)
  if #text <= most then return nil end
  return invalid(N.string.format("json: the %s has %d bytes, the limit is %d", what, #text, most))
end

-- True, or false and why not. A library judges, so its verdict is recorded. `written`: the text is that
-- of a table, and an empty one may be an object.
local function judge(schema, text, written)
  local wrong
  if type(schema) == "table" then
    schema, wrong = codec.encode_plain(schema)
    if not schema then return false, invalid("json: the schema cannot be written: " .. wrong) end
  elseif type(schema) ~= "string" or schema == "" then
    return false, invalid("json: the schema must be a table or a JSON text")
  end
  local err = too_large("schema", schema, MAX_SCHEMA) or too_large("data", text, MAX_DATA)
  if err then return false, err end
  local valid
  valid, err = A.recorded("json.validate", (#schema + #text) * 10, schema, text,
    written)
  return valid or false, err
end

function J.validate(schema, value)
  local text, wrong = codec.encode_plain(value)
  if not text then return false, invalid("json.validate: " .. wrong) end
  return judge(schema, text, true)
end

function J.validate_string(schema, text)
  if type(text) ~= "string" or text == "" then
    return false, invalid("json.validate_string expects a non-empty JSON text")
  end
  return judge(schema, text, false)
end

K.modules.json = K.readonly("json", J)

-- payload --------------------------------------------------------------------------------------

local Y = {
  JSON = "json/plain", YAML = "yaml/plain", STRING = "text/plain",
  BYTES = "application/octet-stream", MSGPACK = "application/msgpack", LUA = "lua/any",
  GOLANG = "golang/any", ERROR = "golang/error",
}
local AS_TEXT = {[Y.STRING] = true, [Y.BYTES] = true}
local AS_VALUE = {
  [Y.JSON] = true, [Y.LUA] = true, [Y.GOLANG] = true, [Y.YAML] = true, [Y.MSGPACK] = true,
}

--- The YAML of any value, or nil and an error; `order` is the JSON list of the keys that go first.
function A.to_yaml(value, order)
  local text, wrong = codec.encode(value)
  if not text then return nil, make_error("Internal", "yaml.encode: " .. wrong, false) end
  return A.recorded("yaml.encode", #text * 20, text, order)
end

--- The value of a YAML text, or nil and an error.
function A.from_yaml(text)
  return A.recorded("yaml.decode", #text * 20, text)
end

-- A value as text, by its format; nil when it has none.
local function text_of(p)
  if p.format == Y.MSGPACK then return (K.msgpack.encode(p.value)) end
  if type(p.value) == "string" then return p.value end
  if p.format == Y.YAML then return (A.to_yaml(p.value)) end
  return (codec.encode_plain(p.value))
end

-- What a text means in a format: a text that cannot be read stays one.
local function value_of(text, wanted)
  if wanted == Y.JSON then
    local ok, value = codec.decode_plain(text)
    if ok then return value end
  elseif wanted == Y.YAML and text ~= "" then
    local value, err = A.from_yaml(text)
    if not err then return value end
  elseif wanted == Y.MSGPACK then
    local ok, value = K.msgpack.decode(text)
    if ok then return value end
  end
  return text
end

function mailbox.payload_methods.transcode(p, wanted)
  local function refuse(why)
    return nil, make_error("Internal", "cannot transcode a payload from " .. p.format .. " to "
      .. K.stable.tostring(wanted) .. (why or ""), false)
  end
  local result
  if AS_TEXT[wanted] then
    result = text_of(p)
    if result == nil then return refuse() end
  elseif AS_VALUE[wanted] then
    result = p.value
    if AS_TEXT[p.format] then result = value_of(result, wanted) end
    if codec.problem(result) then return refuse(": " .. codec.problem(result)) end
  elseif wanted ~= Y.ERROR or p.format ~= Y.ERROR then
    return refuse()
  else
    result = p.value
  end
  return mailbox.payload(result, wanted)
end

local P = {
  format = K.readonly("payload.format", Y),
  new = function(value)
    return mailbox.payload(value, K.errors.is_error(value) and Y.ERROR or Y.LUA)
  end,
}
for name, format in N.next, Y do P[name] = format end

K.modules.payload = K.readonly("payload", P)
