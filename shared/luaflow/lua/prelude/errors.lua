--- Error objects: made by users and by failed operations, kept whole across boundaries.
local K = ...
local N = K.native
local type, setmetatable, next = N.type, N.setmetatable, N.next
local tostring = K.stable.tostring

local Error, methods = K.class("error")
local STATE = K.STATE
local E = {class = Error}
K.errors = E

--- A new error object; `retryable` nil means undecided.
function E.make(kind, message, retryable, details)
  return setmetatable({[STATE] = {
    kind = kind, message = message, retryable = retryable, details = details,
    frames = false, stack = false, context = false,
  }}, Error)
end

function E.is_error(value)
  return K.isa(value, Error)
end

function methods.message(e) return e.message end
function methods.kind(e) return e.kind end
function methods.retryable(e) return e.retryable end

-- Nil instead of an empty table.
local function details_of(e)
  local details = e.details
  if details and next(details) ~= nil then return details end
end

local function stack_of(e)
  return e.stack or e.frames and K.frames_text(e.frames) or ""
end

methods.details, methods.stack = details_of, stack_of

function Error.__tostring(object)
  local e = object[STATE]
  if e.context then return e.context .. ": " .. e.message end
  return e.message
end

function Error.__concat(a, b)
  return tostring(a) .. tostring(b)
end

--- The error object of a failure as it stands on the wire.
function E.from_failure(failure)
  local kind, message, retryable = failure.kind, failure.message, failure.retryable
  if type(retryable) ~= "boolean" then retryable = nil end
  local details = failure.details
  if type(details) ~= "table" then details = nil end
  local e = E.make(type(kind) == "string" and kind or "", tostring(message or ""), retryable, details)
  if type(failure.stack) == "string" then e[STATE].stack = failure.stack end
  return e
end

--- The failure of an error object: a plain table for the codec. Its message crosses as it is, without
-- what the error was wrapped in (contract 9.3: message, details and stack are preserved).
function E.to_failure(object)
  local e = object[STATE]
  local stack = stack_of(e)
  return {
    kind = e.kind, message = e.message, retryable = e.retryable,
    details = details_of(e), stack = stack ~= "" and stack or nil,
  }
end

--- The same error without its details, for when those cannot be written.
function E.without_details(object)
  local e = object[STATE]
  local plain = E.make(e.kind, e.message, e.retryable)
  plain[STATE].stack = stack_of(e)
  return plain
end

--- The error object of whatever was raised and not caught in coroutine `co`.
function E.raised(value, co)
  local object
  if E.is_error(value) then
    object = value
  elseif type(value) == "string" then
    object = E.make("Internal", value)
  elseif type(value) == "table" then
    local message = N.rawget(value, "message")
    object = E.make("Internal", type(message) == "string" and message
      or "error object is a table value", nil, {value = value})
    if K.codec.problem(value) then object[STATE].details = nil end
  else
    object = E.make("Internal", "error object is a " .. type(value) .. " value: " .. tostring(value))
  end
  local e = object[STATE]
  if not e.stack and not e.frames and co then e.frames = K.frames(co) end
  return object
end

function E.invalid(message) return E.make("Invalid", message, false) end

--- What the second value of a return says: an error object, or nil for "no failure".
function E.returned(second)
  if E.is_error(second) then return second end
  if type(second) == "string" then return E.make("Internal", second, false) end
end

-- The module -----------------------------------------------------------------------------------

local M = {
  NOT_FOUND = "NotFound", ALREADY_EXISTS = "AlreadyExists", INVALID = "Invalid",
  PERMISSION_DENIED = "PermissionDenied", UNAVAILABLE = "Unavailable", INTERNAL = "Internal",
  CANCELED = "Canceled", CONFLICT = "Conflict", TIMEOUT = "Timeout",
  RATE_LIMITED = "RateLimited", UNKNOWN = "",
}

local function from_table(spec)
  local message, kind, retryable, details = spec.message, spec.kind, spec.retryable, spec.details
  if type(message) ~= "string" then K.raise("errors.new: message must be a string") end
  if kind ~= nil and type(kind) ~= "string" then K.raise("errors.new: kind must be a string") end
  if retryable ~= nil and type(retryable) ~= "boolean" then
    K.raise("errors.new: retryable must be true, false or nil")
  end
  if details ~= nil and type(details) ~= "table" then
    K.raise("errors.new: details must be a table")
  end
  return E.make(kind or "", message, retryable, details)
end

function M.new(spec, message)
  local e
  if type(spec) == "table" then
    e = from_table(spec)
  elseif type(spec) ~= "string" then
    K.raise("errors.new: expected a message or a table {message=, kind=, retryable=, details=}")
  elseif type(message) == "string" then
    e = E.make(spec, message)
  else
    e = E.make("", spec)
  end
  e[STATE].frames = K.frames()
  return e
end

function M.wrap(inner, context)
  if inner == nil then return nil end
  if type(context) ~= "string" then K.raise("errors.wrap: context must be a string") end
  if not E.is_error(inner) then inner = E.make("", tostring(inner)) end
  inner = inner[STATE]
  local object = E.make(inner.kind, inner.message, inner.retryable, inner.details)
  local e = object[STATE]
  e.context = inner.context and context .. ": " .. inner.context or context
  e.frames, e.stack = inner.frames or K.frames(), inner.stack
  return object
end

function M.is(e, kind)
  return E.is_error(e) and e[STATE].kind == kind
end

function M.call_stack(e)
  local list = E.is_error(e) and e[STATE].frames
  if not list then return nil end
  local frames = {}
  for i = 1, #list do
    local f = list[i]
    frames[i] = {source = f.source, line = f.line, name = f.name}
  end
  return {thread = "main", frames = frames}
end

K.modules.errors = K.readonly("errors", M)
