--- Captures the real functions for the kernel, then empties every table they came from.
-- Runs first in a fresh runtime. Afterwards nothing dangerous can be reached from globals,
-- package.loaded or the registry; K itself is never given to user code.
local K = ...

local function copy(library, names)
  local out = {}
  for i = 1, #names do out[names[i]] = library[names[i]] end
  return out
end

local function copy_all(library)
  local out = {}
  for key, value in next, library do out[key] = value end
  return out
end

local N = copy(_G, {
  "assert", "collectgarbage", "error", "getmetatable", "ipairs", "next", "pcall", "rawequal",
  "rawget", "rawlen", "rawset", "select", "setmetatable", "tonumber", "tostring", "type", "xpcall",
  "pairs",
})
N.string, N.table, N.math = copy_all(string), copy_all(table), copy_all(math)
N.coroutine, N.utf8 = copy_all(coroutine), copy_all(utf8)
N.debug = copy(debug, {"getinfo", "getmetatable", "setmetatable", "sethook", "traceback"})
N.os = copy(os, {"clock", "date", "difftime", "time"})
N.string.dump = nil
-- lupa's set_max_memory, put here by the host before the first step; takes (bytes, true).
N.set_max_memory = nil
K.native = N

local load, type, error, setlocale = load, type, error, os.setlocale
local find, upper, lower = N.string.find, N.string.upper, N.string.lower

--- The largest source of one chunk, in bytes: the compiler runs without a budget.
N.max_source = 1024 * 1024

--- Compile text (never bytecode) with `env` as its globals: function, or nil and a message.
-- `chunkname` is "@file.lua" for user code.
function N.compile(source, chunkname, env)
  if type(source) ~= "string" then error("compile: the source must be a string", 2) end
  if type(env) ~= "table" then error("compile: an environment is needed", 2) end
  if #source > N.max_source then
    local text = "%s: the source has %d bytes, more than %d: split it into libraries"
    return nil, N.string.format(text, N.string.gsub(chunkname, "^[@=]", ""), #source, N.max_source)
  end
  return load(source, chunkname, "t", env)
end

-- Locale: `<`, upper, %a and the decimal point follow the process, and replay must not.
local PLAIN = {C = true, POSIX = true, ["C.UTF-8"] = true, ["C.utf8"] = true}

local function bytes_are_ascii()
  for code = 128, 255 do
    local c = N.string.char(code)
    if upper(c) ~= c or lower(c) ~= c or find(c, "[%w%s%p%c]") then return false end
  end
  return true
end

--- Nil, or what is wrong with the locale of this process.
function N.locale_problem()
  local collate, numeric = setlocale(nil, "collate"), setlocale(nil, "numeric")
  if not (PLAIN[collate] and PLAIN[numeric]) then
    return "the locale of this process sorts or writes numbers differently (LC_COLLATE=" ..
      collate .. ", LC_NUMERIC=" .. numeric .. "): do not call locale.setlocale in a worker, " ..
      "or set both back to C"
  end
end

local problem = N.locale_problem()
if not problem and not bytes_are_ascii() then
  problem = "LC_CTYPE=" .. setlocale(nil, "ctype") .. " changes letters above byte 127: " ..
    "start the worker with a UTF-8 locale, such as LC_ALL=C.UTF-8"
end
if problem then error(problem, 0) end

-- Empty everything. lupa keeps what it needs under its own keys of the registry.
local registry = debug.getregistry()
local function clear(t)
  if type(t) ~= "table" then return end
  for key in next, t do t[key] = nil end
end
local libraries = {string, table, math, coroutine, utf8, debug, os, io, python, package.loaded,
  package.preload, package.searchers, package, registry._CLIBS}
local globals = _G
registry._IO_input, registry._IO_output = nil, nil
for i = 1, #libraries do clear(libraries[i]) end
clear(globals)
