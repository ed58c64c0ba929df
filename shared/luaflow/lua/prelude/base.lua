--- Helpers of the kernel: read-only tables, classes, and where in the user's code we are.
local K = ...
local N = K.native
local setmetatable, type = N.setmetatable, N.type
local byte, format = N.string.byte, N.string.format
local getinfo = N.debug.getinfo

-- User chunks are named "@file.lua"; the kernel's own are named "=luaflow".
local function user_frame(info)
  return info and byte(info.source, 1) == 64
end

--- Raise a message with the user's position.
K.raise = K.stable.raise

local function frame_of(info)
  local name = info.name
  if info.what == "main" then name = "main chunk" end
  return {source = info.short_src, line = info.currentline, name = name or "?"}
end

-- Lua walks down to a level from the top each time, and a stack may have 190000.
local MAX_LEVELS = 2000

--- The user's frames of a coroutine (of the running one without an argument), innermost first.
function K.frames(co)
  local frames, level = {}, co and 0 or 2
  while #frames < 20 and level < MAX_LEVELS do
    local info
    if co then info = getinfo(co, level, "Sln") else info = getinfo(level, "Sln") end
    if not info then break end
    if user_frame(info) then frames[#frames + 1] = frame_of(info) end
    level = level + 1
  end
  return frames
end

--- Frames as text for people, one line each; nil when there are none.
function K.frames_text(frames)
  local lines = {}
  for i = 1, #frames do
    local frame = frames[i]
    lines[i] = format("%s:%d: in %s", frame.source, frame.line, frame.name)
  end
  if lines[1] then return N.table.concat(lines, "\n") end
end

--- Where a waiting coroutine of the user stands: "file.lua:12", or "?".
function K.position_of(co)
  local frame = K.frames(co)[1]
  return frame and format("%s:%d", frame.source, frame.line) or "?"
end

--- A read-only view of `members`, shared by every run of the engine.
K.readonly = K.libs.readonly

-- class -> function(object) -> the plain value that objects cross boundaries as
K.plain_of = {}

--- The key under which an object of the kernel keeps its state. Nobody else has this table, so no
-- user code can read or assign the state; what lists keys for users refuses these objects.
-- A state may hold anything of the kernel: it must never reach user code.
local STATE = {}
K.STATE = STATE

local raw_metatable = N.debug.getmetatable

-- A method gets the state in place of the object, and only from an object of its class: a user's
-- table would see the key in its __index, and could answer with a state of its own making.
local function checked(class, name, key, f)
  return function(object, ...)
    if raw_metatable(object) ~= class then
      K.raise(format("%s:%s expects a %s; call it with ':'", name, key, name))
    end
    return f(object[STATE], ...)
  end
end

--- A metatable for objects of the kernel, and the table to define their methods in: those get the
-- state. Assigning fields is refused.
function K.class(name)
  local class, methods = nil, {}
  class = {
    __index = methods, __metatable = false, __name = name,
    __newindex = function(_, key)
      K.raise(format("%s is read-only: cannot set '%s'", name, K.stable.tostring(key)))
    end,
    __tostring = function() return name end,
  }
  K.plain_of[class] = function(object) return class.__tostring(object) end
  K.libs.classes[class] = true
  return class, setmetatable({}, {__newindex = function(_, key, f)
    methods[key] = checked(class, name, key, f)
  end})
end

--- True when `value` is an object of class `class`.
function K.isa(value, class)
  return type(value) == "table" and raw_metatable(value) == class
end

K.modules = {} -- name -> module table, filled by modules/*.lua
