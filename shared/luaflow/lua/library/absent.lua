---@meta

---Modules that other runtimes have and luaflow has not. They may be listed and required, so that an app
---that mentions them loads; every function of theirs returns `nil` and an error of kind Unavailable,
---which says what to do instead: mostly an entry of kind `function.python`, called with `funcs.call`.
---Those that are not deterministic cannot be loaded in workflows, as in other runtimes.
---
---Shown by `tests/modules/test_absent.py::test_in_functions`.
---@class absent
---@field [string] fun(...: any): nil, Error
local absent = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
cdc = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
cloudstorage = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
compress = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
contract = {}

---Not provided: put the code in a library entry and import it.
---@type absent
eval = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
excel = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
exec = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
expr = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
fs = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
html = {}

---Not provided: `events` delivers inside one process, `process.send` between processes.
---@type absent
hub = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
io = {}

---Not provided: `process.registry` gives processes a name.
---@type absent
pg = {}

---Not provided: `process.send` and `process.spawn` deliver messages and work durably.
---@type absent
queue = {}

---Not provided: who may do what is checked at the HTTP API and in Redis.
---@type absent
security = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
sql = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
store = {}

---Not provided: `http_client` gives streams: its option `stream = true`.
---@type absent
stream = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
system = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
templates = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
text = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
treesitter = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
tty = {}

---Not provided: do it in Python, in an entry of kind `function.python`.
---@type absent
websocket = {}
