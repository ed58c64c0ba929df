--- The `yaml` module. A library writes and reads the text, so what it says is recorded.
local K = ...
local N = K.native
local A, codec, type = K.calls, K.codec, N.type
local invalid = K.errors.invalid

local Y = {}

-- The JSON list of the keys that go first, nil for none; or nil and an error.
local function order_of(options)
  if options == nil then return nil end
  if type(options) ~= "table" then
    return nil, invalid("yaml.encode: the options must be a table {field_order=, sort_unordered=}")
  end
  local order = options.field_order
  if order == nil then return nil end
  if type(order) ~= "table" then
    return nil, invalid("yaml.encode: field_order must be a list of keys")
  end
  for i = 1, #order do
    if type(order[i]) ~= "string" then
      return nil, invalid("yaml.encode: field_order must be a list of keys")
    end
  end
  return (codec.encode(order))
end

function Y.encode(value, options)
  if type(value) ~= "table" then return nil, invalid("yaml.encode expects a table") end
  local order, err = order_of(options)
  if err then return nil, err end
  return A.to_yaml(value, order)
end

function Y.decode(text)
  if type(text) ~= "string" or text == "" then
    return nil, invalid("yaml.decode expects a non-empty text")
  end
  return A.from_yaml(text)
end

K.modules.yaml = K.readonly("yaml", Y)
