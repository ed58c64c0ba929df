--- The `http` module of functions: the request that a handler answers, and its response.
-- Both live outside, in the exchange of the call. What is known at once is asked with a service,
-- what has to be waited for, such as the body, is a command.
local K = ...
local N = K.native
local S, A, codec = K.scheduler, K.calls, K.codec
local type, setmetatable, next, error = N.type, N.setmetatable, N.next, N.error
local lower, match = N.string.lower, N.string.match
local integer = N.math.type
local invalid, make_error = K.errors.invalid, K.errors.make
local STATE, own = K.STATE, K.stable.own

local TIMEOUT_MS, MAX_BODY, MAX_MEMORY, CHUNK = 300000, 120 << 20, 32 << 20, 65536
local MAX_NAME = 200

local function outside(what)
  return nil, make_error("Internal", what .. ": this function answers no HTTP request", false)
end

local function whole(value, default, least)
  if value == nil then return default end
  if integer(value) == "integer" and value >= least then return value end
end

local function expects(method, what)
  return invalid(method .. " expects " .. what)
end

-- Constants ------------------------------------------------------------------------------------

local H = {
  METHOD = K.readonly("http.METHOD", {
    GET = "GET", POST = "POST", PUT = "PUT", DELETE = "DELETE", PATCH = "PATCH", HEAD = "HEAD",
    OPTIONS = "OPTIONS", TRACE = "TRACE",
  }),
  STATUS = K.readonly("http.STATUS", {
    OK = 200, CREATED = 201, ACCEPTED = 202, NO_CONTENT = 204, PARTIAL_CONTENT = 206,
    MOVED_PERMANENTLY = 301, FOUND = 302, SEE_OTHER = 303, NOT_MODIFIED = 304,
    TEMPORARY_REDIRECT = 307, PERMANENT_REDIRECT = 308, BAD_REQUEST = 400, UNAUTHORIZED = 401,
    PAYMENT_REQUIRED = 402, FORBIDDEN = 403, NOT_FOUND = 404, METHOD_NOT_ALLOWED = 405,
    NOT_ACCEPTABLE = 406, CONFLICT = 409, GONE = 410, UNPROCESSABLE = 422, TOO_MANY_REQUESTS = 429,
    INTERNAL_ERROR = 500, INTERNAL_SERVER_ERROR = 500, NOT_IMPLEMENTED = 501, BAD_GATEWAY = 502,
    SERVICE_UNAVAILABLE = 503, GATEWAY_TIMEOUT = 504, VERSION_NOT_SUPPORTED = 505,
  }),
  CONTENT = K.readonly("http.CONTENT", {
    JSON = "application/json", FORM = "application/x-www-form-urlencoded", TEXT = "text/plain",
    MULTIPART = "multipart/form-data", STREAM = "application/octet-stream",
  }),
  TRANSFER = K.readonly("http.TRANSFER", {CHUNKED = "chunked", SSE = "sse"}),
  ERROR = K.readonly("http.ERROR", {
    PARSE_FAILED = "PARSE_FAILED", INVALID_STATE = "INVALID_STATE",
    WRITE_FAILED = "WRITE_FAILED", STREAM_ERROR = "STREAM_ERROR",
  }),
}

-- Request --------------------------------------------------------------------------------------

local Request, request = K.class("http.Request")
local Stream, stream = K.class("http.Stream")
local File, file = K.class("http.File")

--- The request that is answered: its facts are fetched once, its body when asked for.
function H.request(options)
  options = options == nil and {} or options
  if type(options) ~= "table" then return nil, expects("http.request", "a table of options") end
  local timeout = whole(options.timeout, TIMEOUT_MS, 1)
  local max_body = whole(options.max_body, MAX_BODY, 1)
  if not (timeout and max_body) then
    return nil, expects("http.request", "timeout (ms) and max_body (bytes) as whole numbers from 1")
  end
  local facts = S.service("http_request")
  if not facts then return outside("http.request") end
  local state = {facts = facts, timeout = timeout, max_body = max_body}
  return own(setmetatable({[STATE] = state}, Request))
end

for _, name in N.ipairs({"method", "path", "host", "remote_addr", "content_length", "has_body"}) do
  request[name] = function(r) return r.facts[name], nil end
end

-- A fresh table with the members of another one: code may write into it.
local function copied(method, field)
  request[method] = function(r)
    local copy = {}
    for key, value in next, r.facts[field] do copy[key] = value end
    return copy, nil
  end
end

copied("query_params", "queries")
copied("params", "params")

local function named(field, method, fold)
  request[method] = function(r, name)
    if type(name) ~= "string" or name == "" or #name > MAX_NAME then
      return nil, expects("request:" .. method, "a name of " .. MAX_NAME .. " bytes at most")
    end
    return r.facts[field][fold and lower(name) or name], nil
  end
end

named("query", "query")
named("params", "param")
named("headers", "header", true)

function request.content_type(r) return r.facts.headers["content-type"], nil end

-- A media type as code may name it, or the error: what is longer is none, and C would read it all.
local function media(method, wanted)
  if type(wanted) ~= "string" or #wanted > MAX_NAME then return nil, expects(method, "a type") end
  return lower(wanted)
end

function request.is_content_type(r, wanted)
  local one, err = media("request:is_content_type", wanted)
  if err then return nil, err end
  return one == r.facts.media, nil
end

--- Whether the client names the type in Accept, or all of its kind, or all; without Accept: false.
function request.accepts(r, wanted)
  local one, err = media("request:accepts", wanted)
  if err then return nil, err end
  local accepted = r.facts.accepted
  local kind = match(one, "^[^/]*") .. "/*"
  return accepted[one] or accepted[kind] or accepted["*/*"] or false, nil
end

function request.body(r) return A.io("http.body", r.timeout, r.max_body) end

function request.body_json(r)
  local text, err = A.io("http.body", r.timeout, r.max_body)
  if err then return nil, err end
  local ok, value = codec.decode_plain(text)
  if not ok then return nil, invalid("the body is no JSON: " .. value) end
  return value, nil
end

local function stream_of(number)
  return own(setmetatable({[STATE] = {number = number}}, Stream))
end

--- The body in pieces, as they come; timeout and max_body do not hold for it.
function request.stream()
  local number, wrong = S.service("http_stream")
  if not number then return nil, invalid(wrong) end
  return stream_of(number)
end

function request.parse_multipart(r, max_memory)
  max_memory = whole(max_memory, MAX_MEMORY, 1)
  if not max_memory then return nil, expects("request:parse_multipart", "a number of bytes") end
  local form, err = A.io("http.multipart", r.timeout, r.max_body, max_memory)
  if err then return nil, err end
  local files = {}
  for name, list in next, form.files do
    files[name] = {}
    for i = 1, #list do files[name][i] = own(setmetatable({[STATE] = list[i]}, File)) end
  end
  return {values = form.values, files = files}, nil
end

function file.name(f) return f.name, nil end
function file.size(f) return f.size, nil end

function file.header(f, name)
  if type(name) ~= "string" or #name > MAX_NAME then return nil, expects("file:header", "a name") end
  return f.headers[lower(name)], nil
end

function file.stream(f)
  local number, wrong = S.service("http_file", f.number)
  if not number then return nil, invalid(wrong) end
  return stream_of(number)
end

--- The next piece, `size` bytes at most (0: as is best); nil at the end.
function stream.read(s, size)
  size = whole(size ~= 0 and size or nil, CHUNK, 1)
  if not size then return nil, expects("stream:read", "a number of bytes") end
  return A.io("http.read", s.number, size)
end

function stream.close(s)
  S.service("http_close", s.number)
  return true, nil
end

-- Response -------------------------------------------------------------------------------------

local Response, response = K.class("http.Response")

--- The response of the call: every object of it is the same one.
function H.response()
  if not S.service("http_open") then return outside("http.response") end
  local run = K.run
  if not run.http_response then
    local state = {}
    state.object = own(setmetatable({[STATE] = state}, Response))
    run.http_response = state.object
  end
  return run.http_response
end

-- Change the head of the response: nil, or the error.
local function head(what, ...)
  local wrong = S.service("http_head", what, ...)
  if wrong then return invalid(wrong) end
end

local function text_of(what, value)
  if type(value) == "string" then return value end
  if type(value) == "number" or type(value) == "boolean" then return K.stable.tostring(value) end
  return nil, expects(what, "text")
end

local function set_status(_, status)
  if integer(status) ~= "integer" then return expects("response:set_status", "a status code") end
  return head("status", status)
end

local function set_header(_, name, value)
  local text, err = text_of("response:set_header", value)
  if type(name) ~= "string" or err then return err or expects("response:set_header", "a name") end
  return head("header", name, text)
end

local function set_content_type(_, value)
  if type(value) ~= "string" then return expects("response:set_content_type", "a type") end
  return head("header", "Content-Type", value)
end

local function flush()
  local _, err = A.io("http.flush")
  return err
end

-- What is written is gathered outside and sent when it is much, so that memory has a bound.
local function put(text, content_type)
  local wrong, full = S.service("http_write", text, content_type)
  if wrong then return invalid(wrong) end
  if full then return flush() end
end

local function write(_, value)
  local text, err = text_of("response:write", value)
  if err then return err end
  return put(text, "")
end

local function json_text(value)
  local text, wrong = codec.encode_plain(value)
  return text, not text and invalid("the response cannot be JSON: " .. wrong) or nil
end

local function write_json(_, value)
  local text, err = json_text(value)
  if err then return err end
  return put(text, "application/json")
end

function response.set_transfer(_, mode)
  if mode ~= "chunked" and mode ~= "sse" then
    return expects("response:set_transfer", "http.TRANSFER.CHUNKED or http.TRANSFER.SSE")
  end
  return head("transfer", mode)
end

--- Send one event now; data that is no text goes as JSON.
function response.write_event(_, event)
  if type(event) ~= "table" then return expects("response:write_event", "a table {name, data}") end
  local data, err = event.data, nil
  if type(data) ~= "string" then
    data, err = json_text(data)
    if err then return err end
  end
  local name = event.name == nil and "" or event.name
  if type(name) ~= "string" then return expects("response:write_event", "a name that is text") end
  local wrong = S.service("http_event", name, data)
  if wrong then return invalid(wrong) end
  return flush()
end

response.set_status, response.set_header = set_status, set_header
response.set_content_type = set_content_type
response.write, response.write_json, response.flush = write, write_json, flush

-- The lenient forms return the response, to go on with; what is wrong is raised.
for name, set in next, {
  status = set_status, header = set_header, content_type = set_content_type, send = write,
  json = write_json,
} do
  response[name] = function(r, ...)
    local err = set(r, ...)
    if err then error(err, 0) end
    return r.object
  end
end

K.modules.http = K.readonly("http", H)
