--- Code of a bundle: compiled once, run once in each run; and what `require` may find.
local K = ...
local N = K.native
local type, setmetatable = N.type, N.setmetatable
local format, find, gsub = N.string.format, N.string.find, N.string.gsub

local globals = {} -- alias -> id of what every unit that has this alias imports, else false
local units = {} -- id -> {make, entry, modules (set), imports (alias -> id), method}
local L = {units = units}
K.load = L

-- Always there, listed or not; each is a global too.
local CORE = {
  process = true, channel = true, errors = true, os = true, payload = true,
  string = true, table = true, math = true, coroutine = true,
}

local ACTIVITY = "do it in an activity and call that with funcs.call"
-- What a workflow must not use, and what to do instead.
local FORBIDDEN = {
  io = ACTIVITY, http_client = ACTIVITY, sql = ACTIVITY, store = ACTIVITY, fs = ACTIVITY,
  exec = ACTIVITY, cdc = ACTIVITY, pg = ACTIVITY, excel = ACTIVITY, cloudstorage = ACTIVITY,
  stream = ACTIVITY, eval = ACTIVITY, websocket = ACTIVITY, queue = ACTIVITY, env =
  "pass the value as an argument, or read it in an activity", registry = ACTIVITY,
  activity = "it is for the code of activities; a workflow calls them with funcs.call",
  http = "HTTP handlers are functions: start the workflow from there with process.spawn",
  events = "use process.listen and process.send", metrics = "count in an activity",
  security = ACTIVITY, system = ACTIVITY, hub = ACTIVITY, tty = ACTIVITY,
  debug = "use print, or `luaflow workflow trace`", package = "list libraries under `imports`",
}

-- Modules whose files are loaded when code lists them: Python says which (LATER in files.py).
local LATER = {}

--- Say that there is a module of this name, whose file may not be loaded.
function L.later(name) LATER[name] = true end

local function forbidden(name)
  if K.kind ~= "workflow" or not FORBIDDEN[name] then return nil end
  return format("module '%s' is not available in workflows: %s", name, FORBIDDEN[name])
end

local function factory(id, chunkname, source)
  -- Alone first: what compiles alone cannot break out of the wrapper, and messages stay plain.
  local ok, message = N.compile(source, chunkname, {})
  if not ok then return nil, message end
  local wrapped = "local _ENV, require = ... return function(...) " .. source .. "\nend"
  local make
  make, message = N.compile(wrapped, chunkname, {})
  if not make then return nil, message end
  return make
end

--- Compile one source: nil, or what is wrong ("file.lua:3: ...").
function L.compile(id, entry, chunkname, source, method)
  local make, message = factory(id, "@" .. chunkname, source)
  if not make then return message end
  units[id] = {make = make, entry = entry, method = method, modules = {}, imports = {}}
end

--- Say that unit `id` may use module `name`: nil, or why it may not.
function L.allow(id, name)
  local why = forbidden(name)
  if why then return units[id].entry .. ": " .. why end
  units[id].modules[name] = true
  K.libs.base[name] = K.modules[name] or K.libs.base[name]
end

--- Say that unit `id` imports unit `target` as `alias`.
function L.import(id, alias, target)
  units[id].imports[alias] = target
  local known = globals[alias]
  globals[alias] = (known == nil or known == target) and target
end

-- require --------------------------------------------------------------------------------------

local run_unit

-- Run a library once; a failure leaves it as it was, to be tried again.
local function run_library(run, id)
  local loading <close> = N.setmetatable({}, {__close = function() run.loading[id] = nil end})
  run.loading[id] = true
  return (run_unit(run, id))
end

local function imported(run, id, alias)
  if run.loaded[id] ~= nil then return run.loaded[id] end
  if run.loading[id] then
    K.raise(format("require('%s'): circular import of %s", alias, units[id].entry))
  end
  -- Replay does not run what is inside: it would load the library later, or never.
  if run.pure then K.scheduler.impure("the first require('" .. alias .. "')") end
  local value = run_library(run, id)
  if value == nil then value = true end
  run.loaded[id] = value
  return value
end

-- A global that is not there may be an import by its alias, as listed modules are globals; not where
-- two units mean different things by it.
local absent = N.debug.getmetatable(K.libs.base).__index
N.setmetatable(K.libs.base, {__index = function(base, name)
  local target = globals[name]
  if target and K.run then return imported(K.run, target, name) end
  return absent(base, name)
end})

local function missing(unit, name)
  local why = forbidden(name)
  if why then K.raise(why) end
  if K.modules[name] or LATER[name] then
    local words = "module '%s' not found: it is not listed, add it to `modules` of %s"
    K.raise(format(words, name, unit.entry))
  end
  K.raise(format("module '%s' not found", name))
end

local function require_of(run, unit)
  return function(name)
    if type(name) ~= "string" then K.raise("require expects a module name") end
    local target = unit.imports[name]
    if target then return imported(run, target, name) end
    local module = K.modules[name] or K.libs.modules[name]
    if module and (CORE[name] or unit.modules[name]) then return module end
    missing(unit, name)
  end
end

function run_unit(run, id)
  local unit = units[id]
  return (unit.make(run.env, require_of(run, unit))())
end

-- Globals --------------------------------------------------------------------------------------

local function subscribe(topic, ch)
  if type(topic) ~= "string" or topic == "" then K.raise("subscribe expects a topic") end
  if not K.isa(ch, K.channel.class) then K.raise("subscribe expects a channel") end
  if K.run.pure then K.scheduler.impure("subscribe") end
  K.mailbox.listen(K.run, topic, true, ch[K.STATE])
  return true
end

local function unsubscribe(ch)
  if not K.isa(ch, K.channel.class) then K.raise("unsubscribe expects a channel") end
  if K.run.pure then K.scheduler.impure("unsubscribe") end
  K.mailbox.unlisten(K.run, ch[K.STATE], false)
  return true
end

local base = K.libs.base
for name in N.next, CORE do base[name] = K.modules[name] or base[name] end
base.print, base.subscribe, base.unsubscribe = K.print, subscribe, unsubscribe

--- The globals of a fresh run.
function L.environment(run)
  local env = K.libs.environment(run.run_id)
  run.env = env
  env.require = require_of(run, units[1])
end

--- Run the main chunk and return its entry function; raises NotFound when there is none.
function L.entry(run)
  local unit = units[1]
  local exports = run_unit(run, 1)
  if type(exports) == "function" then return exports end
  local entry = type(exports) == "table" and exports[unit.method]
  if type(entry) ~= "function" then
    N.error(K.errors.make("NotFound", format('method "%s" not found in module', unit.method), false), 0)
  end
  return entry
end
