---@meta

---Values that travel along: from the starter to a workflow, its activities, children and next runs.
---They are set with `with_context` of `process`, `funcs` and their builders.
---@class ctx
local ctx = {}

---The value of a key.
---
---Workflows: pure.
---@param key string
---@return any value
---@return Error? err
---
---```lua
---ctx.get("nobody set this") --> nil, NotFound
---ctx.get("") --> nil, Invalid
---```
---```lua workflow function
---local funcs = require("funcs")
---funcs.new():with_context({tenant = "acme"}):call("app:context", "tenant") --> "acme"
---```
function ctx.get(key) end

---All values, in a table of its own.
---
---Workflows: pure.
---@return table values
---
---```lua
---ctx.all() --> {}
---```
function ctx.all() end

return ctx
