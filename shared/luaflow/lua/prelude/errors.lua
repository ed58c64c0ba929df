--- Error objects: made by users and by failed operations, kept whole across boundaries.
local K = ...
local N = K.native
local type, setmetatable, next = N.type, N.setmetatable, N.next
local tostring = K.stable.tostring

local methods = {}
local Error = K.class("error", methods)
local E = {class = Error}
K.errors = E

--- A new error object; `retryable` nil means undecided.
function E.make(kind, message, retryable, details)
  return setmetatable({
    _kind = kind, _message = message, _retryable = retryable, _details = details,
    _frames = false, _stack = false, _context = false,
  }, Error)
end

function E.is_error(value)
  return K.isa(value, Error)
end

function methods.message(e) return e._message end
function methods.kind(e) return e._kind end
function methods.retryable(e) return e._retryable end

function methods.details(e)
  local details = e._details
  if details and next(details) ~= nil then return details end
end

function methods.stack(e)
  return e._stack or e._frames and K.frames_text(e._frames) or ""
end

function Error.__tostring(e)
  if e._context then return e._context .. ": " .. e._message end
  return e._message
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
  if type(failure.stack) == "string" then N.rawset(e, "_stack", failure.stack) end
  return e
end

--- The failure of an error object: a plain table for the codec.
function E.to_failure(e)
  local stack = e:stack()
  return {
    kind = e._kind, message = e._message, retryable = e._retryable,
    details = methods.details(e), stack = stack ~= "" and stack or nil,
  }
end

--- The same error without its details, for when those cannot be written.
function E.without_details(e)
  local plain = E.make(e._kind, e._message, e._retryable)
  N.rawset(plain, "_stack", methods.stack(e))
  return plain
end

--- The error object of whatever was raised and not caught in coroutine `co`.
function E.raised(value, co)
  local e
  if E.is_error(value) then
    e = value
  elseif type(value) == "string" then
    e = E.make("Internal", value)
  elseif type(value) == "table" then
    local message = N.rawget(value, "message")
    e = E.make("Internal", type(message) == "string" and message
      or "error object is a table value", nil, {value = value})
    if K.codec.problem(value) then N.rawset(e, "_details", nil) end
  else
    e = E.make("Internal", "error object is a " .. type(value) .. " value: " .. tostring(value))
  end
  if not e._stack and not e._frames and co then N.rawset(e, "_frames", K.frames(co)) end
  return e
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
  N.rawset(e, "_frames", K.frames())
  return e
end

function M.wrap(inner, context)
  if inner == nil then return nil end
  if type(context) ~= "string" then K.raise("errors.wrap: context must be a string") end
  if not E.is_error(inner) then inner = E.make("", tostring(inner)) end
  local e = E.make(inner._kind, inner._message, inner._retryable, inner._details)
  N.rawset(e, "_context", inner._context and context .. ": " .. inner._context or context)
  N.rawset(e, "_frames", inner._frames or K.frames())
  N.rawset(e, "_stack", inner._stack)
  return e
end

function M.is(e, kind)
  return E.is_error(e) and e._kind == kind
end

function M.call_stack(e)
  if not E.is_error(e) or not e._frames then return nil end
  local frames = {}
  for i = 1, #e._frames do
    local f = e._frames[i]
    frames[i] = {source = f.source, line = f.line, name = f.name}
  end
  return {thread = "main", frames = frames}
end

K.modules.errors = K.readonly("errors", M)
