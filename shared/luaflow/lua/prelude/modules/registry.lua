--- The `registry` module: the entries of the app as they were loaded. There is one version.
local K = ...
local N = K.native
local S, codec = K.scheduler, K.codec
local type, setmetatable, tointeger, match = N.type, N.setmetatable, N.math.tointeger, N.string.match
local STATE, own = K.STATE, K.stable.own
local invalid, make_error = K.errors.invalid, K.errors.make

local R = {}

local function read_only(what)
  return nil, make_error("Unavailable", what .. ": the registry does not change at run time; "
    .. "change the YAML files and run luaflow deploy", false)
end

-- Reading --------------------------------------------------------------------------------------

function R.get(id)
  if type(id) ~= "string" or id == "" then return nil, invalid("registry.get expects an entry ID") end
  local entry, err = S.service("registry.get", id)
  if err then return nil, err end
  return entry
end

function R.find(filter)
  if filter == nil then filter = {} end
  if type(filter) ~= "table" then return nil, invalid("registry.find expects a table of conditions") end
  local text, wrong = codec.encode(filter)
  if not text then return nil, invalid("registry.find: " .. wrong) end
  local entries, err = S.service("registry.find", text)
  if err then return nil, err end
  return entries
end

function R.parse_id(id)
  if type(id) ~= "string" or id == "" then
    return nil, invalid("registry.parse_id expects an entry ID")
  end
  local ns, name = match(id, "^([^:]*):(.*)$")
  if not ns then ns, name = "", id end
  return {ns = ns, name = name}
end

-- Versions -------------------------------------------------------------------------------------

local Version, version_methods = K.class("registry.Version")

function version_methods.id() return 1 end
function version_methods.string() return "v1" end
function version_methods.previous() return nil end
function version_methods.next() return nil end
function Version.__tostring() return "v1" end
function Version.__eq(a, b) return K.isa(a, Version) and K.isa(b, Version) end

local function version()
  return own(setmetatable({[STATE] = {}}, Version))
end

function R.current_version() return version() end
function R.versions() return {version()} end

-- Nil, or why `wanted` (a Version or a number) is no version there is.
local function unknown(what, wanted)
  if K.isa(wanted, Version) then return nil end
  local n = type(wanted) == "number" and tointeger(wanted)
  if not n then return invalid(what .. " expects a version or its number") end
  if n ~= 1 then
    return make_error("NotFound", what .. ": there is no version " .. n .. ", only version 1", false)
  end
end

-- Changes, which are never applied ---------------------------------------------------------------

local Changes, changes_methods = K.class("registry.Changes")

local function note(kind)
  return function(changes, entry)
    if kind == "entry.delete" and type(entry) == "string" then entry = {id = entry} end
    if kind == "entry.delete" and type(entry) == "table" and entry.ns and entry.name then
      entry = {id = entry.ns .. ":" .. entry.name}
    end
    if type(entry) ~= "table" or type(entry.id) ~= "string" then
      K.raise("registry changes: an entry needs an id")
    end
    changes.ops[#changes.ops + 1] = {kind = kind, entry = entry}
    return changes.object
  end
end

changes_methods.create = note("entry.create")
changes_methods.update = note("entry.update")
changes_methods.delete = note("entry.delete")

function changes_methods.ops(changes)
  local ops = {}
  for i = 1, #changes.ops do ops[i] = changes.ops[i] end
  return ops
end

function changes_methods.apply(changes)
  if #changes.ops == 0 then return nil, invalid("registry changes: there is nothing to apply") end
  return read_only("registry changes")
end

-- Snapshots ------------------------------------------------------------------------------------

local Snapshot, snapshot_methods = K.class("registry.Snapshot")

function snapshot_methods.entries() return R.find({}) end
function snapshot_methods.get(_, id) return R.get(id) end
function snapshot_methods.find(_, filter) return R.find(filter) end
function snapshot_methods.namespace(_, ns) return R.find({[".ns"] = ns}) end
function snapshot_methods.version() return version() end

function snapshot_methods.changes()
  local changes = {ops = {}}
  changes.object = own(setmetatable({[STATE] = changes}, Changes))
  return changes.object
end

function R.snapshot()
  return own(setmetatable({[STATE] = {}}, Snapshot))
end

function R.snapshot_at(wanted)
  local err = unknown("registry.snapshot_at", wanted)
  if err then return nil, err end
  return R.snapshot()
end

local History, history_methods = K.class("registry.History")

function history_methods.versions() return R.versions() end

function history_methods.get_version(_, wanted)
  local err = unknown("history:get_version", wanted)
  if err then return nil, err end
  return version()
end

function history_methods.snapshot_at(_, wanted) return R.snapshot_at(wanted) end

function R.history()
  return own(setmetatable({[STATE] = {}}, History))
end

function R.apply_version(wanted)
  local err = unknown("registry.apply_version", wanted)
  if err then return nil, err end
  return read_only("registry.apply_version")
end

-- Differences ----------------------------------------------------------------------------------

-- Entries by id, each with its text for comparing; or nil and an error.
local function by_id(list)
  if type(list) ~= "table" then return nil, invalid("registry.build_delta expects two lists of entries") end
  local found = {}
  for i = 1, #list do
    local entry = list[i]
    if type(entry) ~= "table" or type(entry.id) ~= "string" then
      return nil, invalid("registry.build_delta: an entry needs an id")
    end
    local text, wrong = codec.encode(entry)
    if not text then return nil, invalid("registry.build_delta: " .. wrong) end
    found[entry.id] = text
  end
  return found
end

function R.build_delta(from, to)
  local before, err = by_id(from)
  if not before then return nil, err end
  local after
  after, err = by_id(to)
  if not after then return nil, err end
  local ops = {}
  for i = 1, #to do
    local entry = to[i]
    local known = before[entry.id]
    if known ~= after[entry.id] then
      ops[#ops + 1] = {kind = known and "entry.update" or "entry.create", entry = entry}
    end
  end
  for i = 1, #from do
    if not after[from[i].id] then ops[#ops + 1] = {kind = "entry.delete", entry = from[i]} end
  end
  return ops
end

K.modules.registry = K.readonly("registry", R)
