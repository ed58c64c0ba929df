--- What other Lua has and this one has not: code that tries it is told what to use instead.
-- Reading such a name gives nil, as for any name that is not there; calling or indexing it fails.
local K = ...
local N, G = K.native, K.guard
local type = N.type
local find, match, sub = N.string.find, N.string.match, N.string.sub

local ACTIVITY = "use an activity"
local SOURCE = "put the code in a library entry and require it"

local GLOBALS = {
  io = ACTIVITY, debug = "use logger or print", package = "use require",
  load = SOURCE, loadstring = SOURCE, loadfile = SOURCE, dofile = SOURCE,
  collectgarbage = "luaflow manages the memory", rawlen = "use the operator #",
  utf8 = "use string patterns such as \"[\\0-\\x7F\\xC2-\\xFD][\\x80-\\xBF]*\"",
  python = ACTIVITY, jit = "it is not needed", ffi = ACTIVITY,
  bit = "use the operators & | ~ << >>",
  bit32 = "use the operators & | ~ << >>", setfenv = "use a table of your own",
  getfenv = "use _G", module = "return a table from a library entry", newproxy = "use a table",
}

-- Fields: the full name, and what to use.
local FIELDS = {
  execute = {"os.execute", ACTIVITY}, exit = {"os.exit", "return from the function"},
  remove = {"os.remove", ACTIVITY}, rename = {"os.rename", ACTIVITY},
  tmpname = {"os.tmpname", ACTIVITY}, getenv = {"os.getenv", "pass it as an argument"},
  setlocale = {"os.setlocale", "text is compared by bytes"},
  dump = {"string.dump", SOURCE}, pack = {"string.pack", "use json"},
  packsize = {"string.packsize", "use json"}, unpack = {"string.unpack", "use json"},
}

local NIL = "attempt to %a+ a nil value %((%a+) '([%w_]+)'%)$"
local LONG = 400

local function words(name, remedy)
  return name .. " is not available in " .. K.libs.place .. ": " .. remedy
end

--- The same error, with the remedy when it is about a name that is not there.
function G.explained(err)
  if type(err) ~= "string" or #err > LONG or not find(err, "a nil value (", 1, true) then return err end
  local start = find(err, NIL)
  if not start then return err end
  local what, name = match(err, NIL)
  if what == "global" then
    local remedy = GLOBALS[name]
    return remedy and sub(err, 1, start - 1) .. words(name, remedy) or err
  end
  -- The table may be any: what Lua said stays.
  local field = (what == "field" or what == "method") and FIELDS[name]
  return field and err .. "; " .. words(field[1], field[2]) or err
end
