--- The `http_client` module of functions: requests leave through Python.
local K = ...
local N = K.native
local A = K.calls
local type, setmetatable, next, rawget = N.type, N.setmetatable, N.next, N.rawget
local byte, char, format, gsub = N.string.byte, N.string.char, N.string.format, N.string.gsub
local tonumber = N.tonumber
local invalid = K.errors.invalid

local H = {}

-- Responses ------------------------------------------------------------------------------------

-- A response is a table of fields. `response:status()` is a method beside them; for
-- `response:body()` the field itself must be callable, see below.
local Response = {__metatable = false, __name = "http_client.Response", __index = {
  status = function(response) return response.status_code end,
}}
K.stable.open_metatables[Response] = true

-- Calling a text is an error, but for `response:body()`: a field of a response, called with it.
local text_metatable = N.debug.getmetatable("")
function text_metatable.__call(text, object)
  if K.isa(object, Response) and rawget(object, "body") == text then return text end
  K.raise("attempt to call a string value")
end

local function response_of(found)
  local stream = found.stream
  if stream then found.stream = K.stream(stream) end
  return setmetatable(found, Response)
end

-- Requests -------------------------------------------------------------------------------------

local OPTIONS = {
  headers = "table", body = "string", query = "table", form = "table", files = "table",
  cookies = "table", auth = "table", timeout = "number or string", stream = "boolean",
  max_response_body = "number", unix_socket = "string", tls = "table", overlay_network = "string",
}

local function check(method, url, options)
  if type(method) ~= "string" or method == "" then
    return invalid("http_client: the method must be a text such as GET")
  end
  if type(url) ~= "string" or url == "" then return invalid("http_client: the URL must be a text") end
  if options == nil then return nil end
  if type(options) ~= "table" then return invalid("http_client: the options must be a table") end
  for name, wanted in next, OPTIONS do
    local value = options[name]
    if value ~= nil and not N.string.find(wanted, type(value), 1, true)
      and not (name == "timeout" and K.isa(value, K.durations.class)) then
      return invalid(format("http_client: the option %s must be a %s", name, wanted))
    end
  end
end

-- The options Python knows, and nothing else of the table.
local function plain(options)
  local known = {}
  for name in next, OPTIONS do
    if options and options[name] ~= nil then known[name] = options[name] end
  end
  return known
end

function H.request(method, url, options)
  local err = check(method, url, options)
  if err then return nil, err end
  local found
  found, err = A.io("http_client.request", method, url, plain(options))
  if err then return nil, err end
  return response_of(found), nil
end

for _, method in N.ipairs({"get", "post", "put", "patch", "delete", "head"}) do
  local word = N.string.upper(method)
  H[method] = function(url, options) return H.request(word, url, options) end
end

local MAX_BATCH = 100

local function batch_of(list)
  if type(list) ~= "table" then
    return nil, invalid("http_client.request_batch expects a list of {method, url, options}")
  end
  if #list > MAX_BATCH then
    return nil, invalid("http_client.request_batch: at most " .. MAX_BATCH .. " requests at a time")
  end
  local requests = {}
  for i = 1, #list do
    local one = list[i]
    if type(one) ~= "table" then
      return nil, invalid("http_client.request_batch: request " .. i .. " must be a table")
    end
    local err = check(one[1], one[2], one[3])
    if err then return nil, err end
    if one[3] and one[3].stream then
      return nil, invalid("http_client.request_batch: a batch cannot stream")
    end
    requests[i] = {one[1], one[2], plain(one[3])}
  end
  return requests
end

--- Several requests side by side: responses, and errors (nil when there is none), by position.
function H.request_batch(list)
  local requests, err = batch_of(list)
  if not requests then return nil, err end
  if #requests == 0 then return {}, nil end
  local found
  found, err = A.io("http_client.request_batch", requests)
  if err then return nil, err end
  local responses, errors = {}, nil
  for i = 1, #requests do
    local one = found[i]
    if one.failure then
      errors = errors or {}
      errors[i] = one.failure
    else
      responses[i] = response_of(one.response)
    end
  end
  return responses, errors
end

-- Texts in URLs --------------------------------------------------------------------------------

--- A text as it may stand in a query: "hello world" is "hello+world".
function H.encode_uri(text)
  local err = A.check_texts("http_client.encode_uri", {"text"}, text)
  if err then return nil, err end
  text = gsub(text, "[^%w%-_.~ ]", function(c) return format("%%%02X", byte(c)) end)
  return (gsub(text, " ", "+"))
end

function H.decode_uri(text)
  local err = A.check_texts("http_client.decode_uri", {"text"}, text)
  if err then return nil, err end
  if N.string.find(gsub(text, "%%%x%x", ""), "%", 1, true) then
    return nil, invalid("http_client.decode_uri: '%' must be followed by two hex digits")
  end
  text = gsub(text, "%+", " ")
  return (gsub(text, "%%(%x%x)", function(hex) return char(tonumber(hex, 16)) end)), nil
end

K.modules.http_client = K.readonly("http_client", H)
