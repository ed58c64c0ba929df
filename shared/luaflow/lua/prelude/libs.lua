--- The globals that user code sees: allow-listed modules, read-only, one environment a run.
local K = ...
local N, S, G = K.native, K.stable, K.guard
local type, error, rawget, rawset, next = N.type, N.error, N.rawget, N.rawset, N.next
local setmetatable, metatable, tonumber = N.setmetatable, N.debug.getmetatable, N.tonumber
local tointeger = N.math.tointeger
local raise, bad_argument, protected = S.raise, S.bad_argument, S.protected

local B = {}
K.libs = B

--- The word for where this code runs, used in refusals: "workflows" or "functions".
B.place = "workflows"

-- What is not there, and what to use instead --------------------------------------------------

local ACTIVITY = "use an activity"
local SOURCE = "put the code in a library entry and require it"

local FORBIDDEN = {
  io = ACTIVITY, debug = "use logger or print", package = "use require",
  load = SOURCE, loadstring = SOURCE, loadfile = SOURCE, dofile = SOURCE,
  collectgarbage = "luaflow manages the memory", rawlen = "use the operator #",
  utf8 = "use string patterns such as \"[\\0-\\x7F\\xC2-\\xFD][\\x80-\\xBF]*\"",
  python = ACTIVITY, jit = "it is not needed", ffi = ACTIVITY,
  bit = "use the operators & | ~ << >>",
  bit32 = "use the operators & | ~ << >>", setfenv = "use a table of your own",
  getfenv = "use _G", module = "return a table from a library entry", newproxy = "use a table",
}

local FORBIDDEN_OS = {
  execute = ACTIVITY, exit = "return from the function", remove = ACTIVITY, rename = ACTIVITY,
  tmpname = ACTIVITY, getenv = "pass it as an argument", setlocale = "text is compared by bytes",
}

local FORBIDDEN_STRING = {dump = SOURCE}

local reading -- name -> the refusal of what the active run read under it; nil outside of runs

-- What is forbidden reads as nil, so that code can ask whether it is there. Its use fails in Lua's
-- own words, and `explained` has better ones.
local function refuse(prefix, forbidden)
  return function(_, name)
    local remedy = forbidden[name]
    if remedy and reading then
      reading[name] = prefix .. name .. " is not available in " .. B.place .. ": " .. remedy
    end
  end
end

local USE = "^(.-)attempt to %a+ a nil value %(%a+ '([%w_]+)'%)$"

--- The text of an error; of one for the use of something forbidden, with what to use instead.
function B.explained(err)
  if not reading or next(reading) == nil or #err > 400 then return err end
  local place, name = N.string.match(err, USE)
  local refusal = name and reading[name]
  return refusal and place .. refusal or err
end

-- Modules --------------------------------------------------------------------------------------

--- A read-only view of `members`, and its metatable; `forbidden` names have a remedy.
function B.readonly(name, members, forbidden)
  if forbidden then setmetatable(members, {__index = refuse(name .. ".", forbidden)}) end
  local mt = {__index = members, __metatable = false, __name = name}
  function mt.__newindex(_, key)
    raise(name .. " is read-only: cannot set '" .. S.tostring(key) .. "'")
  end
  return setmetatable({}, mt), mt
end

--- Members of the modules, for the kernel to add to while it loads.
B.tables = {
  string = K.strings, table = K.tables, math = K.maths, coroutine = G.coroutine,
  os = {difftime = N.os.difftime, platform = "wippy"},
}
local FORBIDDEN_MEMBERS = {string = FORBIDDEN_STRING, os = FORBIDDEN_OS}

--- The modules as users see them, and their metatables (`string` may get a __call).
B.modules, B.metatables = {}, {}
for name, members in next, B.tables do
  B.modules[name], B.metatables[name] = B.readonly(name, members, FORBIDDEN_MEMBERS[name])
end

-- ("x"):rep(n) must meet the same bounds as string.rep("x", n).
local string_metatable = metatable("")
string_metatable.__index, string_metatable.__metatable = B.tables.string, false

-- Base functions -------------------------------------------------------------------------------

local function rawget_user(t, key)
  if type(t) ~= "table" then bad_argument(1, "rawget", "table", t) end
  return rawget(S.visible(t, "rawget"), key)
end

-- The metatables of each run (by its environment) are kept in sight: Lua asks a metatable at every
-- use, so one that was fine when it was set can get a field later. That is found when the activation
-- ends. Few runs have any.
local metatables = setmetatable({}, {__mode = "k"})
local active -- environment
local fresh = {} -- those set in this activation: one that is dropped and collected would escape
local closers = setmetatable({}, {__mode = "k"}) -- what `guarded` made

local function no_weak_tables()
  raise("weak tables are not available in " .. B.place ..
    ": what they lose differs from run to run; remove entries yourself")
end

-- A __close handler sees an error first and may raise another one instead: it must not hide that
-- memory ran out.
local function guarded(close)
  local function closer(value, err)
    G.note(err)
    G.alive()
    -- What the code said of an error does not hold for one that `close` meets.
    local said = G.says_no_more()
    close(value, err)
    G.says_again(said)
  end
  closers[closer] = true
  return closer
end

-- True when a metatable asks for weak tables.
local function asks_weak(mt)
  if rawget(mt, "__mode") ~= nil then return true end
  local close = rawget(mt, "__close")
  if type(close) == "function" and not closers[close] then rawset(mt, "__close", guarded(close)) end
end

local function rawset_user(t, key, value)
  if type(t) ~= "table" then bad_argument(1, "rawset", "table", t) end
  local mt = protected(t)
  if mt then raise((rawget(mt, "__name") or "this object") .. " is read-only: rawset refused") end
  if key == nil then raise("table index is nil") end
  if key ~= key then raise("table index is NaN") end
  if key == "__mode" and metatables[active] and metatables[active][t] then no_weak_tables() end
  return rawset(t, key, value)
end

local function setmetatable_user(t, mt)
  if type(t) ~= "table" then bad_argument(1, "setmetatable", "table", t) end
  if type(mt) ~= "table" and mt ~= nil then bad_argument(2, "setmetatable", "nil or table", mt) end
  local old = metatable(t)
  if old and rawget(old, "__metatable") ~= nil then raise("cannot change a protected metatable") end
  if mt then
    if rawget(mt, "__gc") ~= nil then
      raise("__gc is not available in " .. B.place .. ": close what you open, or use <close>")
    end
    local close = rawget(mt, "__close")
    if close ~= nil and type(close) ~= "function" then raise("__close must be a function") end
    if asks_weak(mt) then no_weak_tables() end
    local own = metatables[active]
    if not own then
      own = setmetatable({}, {__mode = "k"})
      metatables[active] = own
    end
    own[mt], fresh[mt] = true, true
    if rawget(mt, "__metatable") == false then S.open_metatables[mt] = true end
  end
  return setmetatable(t, mt)
end

local function error_user(message, level)
  G.says(message)
  local depth = level == nil and 1 or tointeger(level)
  if not depth then bad_argument(2, "error", "number", level) end
  error(message, depth > 0 and depth + 1 or 0)
end

local function assert_user(...)
  local value, message = ...
  if not value then G.says(message) end
  return N.assert(...)
end

local LONG = 4096
local function tonumber_user(value, ...)
  if type(value) == "string" and #value > LONG then G.check() end
  return tonumber(value, ...)
end

local classes = {}
--- The metatables of the kernel's objects, such as errors and times: to code they are no tables.
B.classes = classes

local function type_user(...)
  local kind = type(...)
  if kind == "table" and classes[metatable((...))] then return "userdata" end
  return kind
end

--- Globals of every environment, for the kernel to add to while it loads.
B.base = {
  _VERSION = "Lua 5.4", assert = assert_user, error = error_user, getmetatable = N.getmetatable,
  ipairs = N.ipairs, next = S.next, pairs = S.pairs, pcall = G.pcall, rawequal = N.rawequal,
  rawget = rawget_user, rawset = rawset_user, select = N.select, setmetatable = setmetatable_user,
  tonumber = tonumber_user, tostring = S.tostring, type = type_user, unpack = K.tables.unpack,
  xpcall = G.xpcall,
}
for name, module in next, B.modules do B.base[name] = module end

-- The casts of typed sources (contract section 0, rule 1): conversions that raise where there is
-- nothing to convert to.
local function no_cast(value, to)
  local what = type(value) == "string" and "this text" or "a " .. type(value) .. " value"
  raise("cannot cast " .. what .. " to " .. to)
end

function B.metatables.string.__call(_, value) return S.tostring(value) end
function B.base.boolean(value) return not not value end

function B.base.number(value)
  return tonumber_user(value) or no_cast(value, "number")
end

function B.base.integer(value)
  local number = tonumber_user(value)
  return number and N.math.tointeger(number) or no_cast(value, "integer")
end

setmetatable(B.base, {__index = refuse("", FORBIDDEN)})

-- Environments ---------------------------------------------------------------------------------

local ENVIRONMENT = {__index = B.base, __metatable = false, __name = "_G"}
S.open_metatables[ENVIRONMENT] = true
local states = setmetatable({}, {__mode = "k"})

--- Fresh globals of one run; `seed` (the run id) decides its random numbers.
function B.environment(seed)
  if type(seed) ~= "string" then error("environment: a seed is needed, such as the run id", 2) end
  local env = {}
  env._G = env
  local state = S.new_state()
  state.random, state.reading = K.random.new(seed), {}
  states[env] = state
  return setmetatable(env, ENVIRONMENT)
end

--- Make the run of `env` (nil: none) the one whose serial and random numbers apply.
function B.enter(env)
  local state = env and states[env]
  S.use(state)
  K.random.use(state and state.random)
  reading = state and state.reading
end

--- An activation of the run of `env` begins.
function B.begin(env)
  active = env
  local state = states[env]
  S.use(state)
  K.random.use(state.random)
  reading = state.reading
end

--- It ended: "weak" when a metatable asks for weak tables by now, else nil.
function B.finish()
  S.use(nil)
  K.random.use(nil)
  reading = nil
  local own = metatables[active]
  if not own then return nil end
  fresh = {}
  for mt in next, own do
    if asks_weak(mt) then return "weak" end
  end
end
