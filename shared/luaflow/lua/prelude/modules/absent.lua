--- Modules that other runtimes have and luaflow does not: they load, and each call says so.
local K = ...
local N = K.native
local format, setmetatable = N.string.format, N.setmetatable
local make_error, stable = K.errors.make, K.stable

local PYTHON = "do it in Python, in an entry of kind function.python, and call that with funcs.call"
local REMEDY = {
  queue = "process.send and process.spawn deliver messages and work durably",
  stream = "http_client gives streams: its option stream = true",
  security = "luaflow checks who may do what at its HTTP API and in Redis",
  eval = "put the code in a library entry and require it",
  pg = "process.registry gives processes a name",
  hub = "events delivers inside one process, process.send between processes",
}
local NAMES = {
  "cdc", "cloudstorage", "compress", "contract", "eval", "excel", "exec", "expr", "fs", "html", "hub",
  "io", "pg", "queue", "security", "sql", "store", "stream", "system", "templates", "text",
  "treesitter", "tty", "websocket",
}

local function absent(name)
  local remedy = REMEDY[name] or PYTHON
  local function member(key)
    local what = name .. "." .. stable.tostring(key)
    local message = format("%s is not provided by luaflow: %s", what, remedy)
    return function() return nil, make_error("Unavailable", message, false) end
  end
  return setmetatable({}, {
    __metatable = false, __name = name, __index = function(_, key) return member(key) end,
    __newindex = function() K.raise("module " .. name .. " is read-only") end,
  })
end

for _, name in N.ipairs(NAMES) do K.modules[name] = absent(name) end
