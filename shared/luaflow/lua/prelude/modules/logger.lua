--- `print`, `logger` and `ctx`.
local K = ...
local N = K.native
local type, setmetatable, next, select = N.type, N.setmetatable, N.next, N.select
local codec = K.codec
local tostring = K.stable.tostring
local make_error, invalid = K.errors.make, K.errors.invalid

-- The most lines of one activation: all of them cross at once, at its end.
local MAX_LINES = 10000
local TOO_MANY = "more than " .. MAX_LINES .. " lines without waiting: the others are left out"

-- One line of the log leaves with the activation; silent while history is replayed. No call fails
-- for it: what the code sees must not depend on replay.
local function write(level, message, fields, name)
  local run = K.run
  if run.replaying and not run.log_replay or run.nlogs > MAX_LINES * 3 then return end
  if run.nlogs == MAX_LINES * 3 then level, message, fields, name = "warn", TOO_MANY, {}, nil end
  local all = {pid = K.info_of(run).pid, location = K.location()}
  for key, value in next, fields do all[key] = value end
  if name then all.logger = name end
  local text = codec.encode(all)
  if not text then text = codec.encode({pid = all.pid, location = all.location}) end
  local n = run.nlogs
  run.logs[n + 1], run.logs[n + 2], run.logs[n + 3] = level, message, text
  run.nlogs = n + 3
end

--- The user's position nearest to the running function: "file.lua:12", or nil.
function K.location()
  local frame = K.frames()[1]
  return frame and frame.source .. ":" .. N.string.format("%d", frame.line)
end

function K.print(...)
  local parts = {...}
  for i = 1, select("#", ...) do parts[i] = tostring(parts[i]) end
  write("info", N.table.concat(parts, " "), {})
end

local Logger, methods = K.class("logger")

local function logger(fields, name)
  return setmetatable({[K.STATE] = {fields = fields, name = name}}, Logger)
end

local function merged(base, fields)
  local all = {}
  for key, value in next, base do all[key] = value end
  if type(fields) == "table" then
    for key, value in K.stable.pairs(fields) do
      if type(key) == "string" then
        if K.errors.is_error(value) or codec.problem(value) then value = tostring(value) end
        all[key] = value
      end
    end
  end
  return all
end

for _, level in N.ipairs({"debug", "info", "warn", "error"}) do
  methods[level] = function(l, message, fields)
    write(level, tostring(message), merged(l.fields, fields), l.name)
  end
end

methods["with"] = function(l, fields) return logger(merged(l.fields, fields), l.name) end

function methods.named(l, name)
  if type(name) ~= "string" or name == "" then K.raise("logger:named expects a non-empty text") end
  return logger(l.fields, l.name and l.name .. "." .. name or name)
end

K.modules.logger = logger({}, false)

-- ctx ------------------------------------------------------------------------------------------

local C = {}

function C.get(key)
  if type(key) ~= "string" or key == "" then return nil, invalid("ctx.get expects a key") end
  local text = K.run.ctx_text[key]
  if text == nil then return nil, make_error("NotFound", "key not found: " .. key, false) end
  return codec.decode(text), nil
end

function C.all()
  local all = {}
  for key, text in next, K.run.ctx_text do all[key] = codec.decode(text) end
  return all
end

-- What other runtimes put there for themselves.
local RESERVED = {["temporal.signal.from"] = true}

--- Keep the context values of a run as texts: each reader gets copies of its own.
function K.keep_context(run, values)
  run.ctx_text = {}
  if type(values) ~= "table" then return end
  for key, value in next, values do
    if not RESERVED[key] then run.ctx_text[key] = codec.encode(value) end
  end
end

K.modules.ctx = K.readonly("ctx", C)
