---@meta

---Variables that `env.variable` entries declare, by their public names or by entry ids. What no entry
---declares cannot be read, whatever the process's environment holds.
---@class env
local env = {}

---The value of a variable: that of its storage, else its default.
---
---Workflows: forbidden.
---@param name string
---@return string? value
---@return Error? err
---
---```lua
---env.get("GREETING") --> "hello"
---env.get("app:greeting") --> "hello"
---env.get("HOME") --> nil, NotFound
---env.get("") --> nil, Invalid
---```
function env.get(name) end

---Set a variable. Whether others see it, and how long it stays, is a matter of its storage.
---
---Workflows: forbidden.
---@param name string
---@param value string
---@return true? ok
---@return Error? err
---
---```lua
---env.set("MOOD", "fine") --> true
---env.get("MOOD") --> "fine"
---env.set("FIXED", "x") --> nil, PermissionDenied
---env.set("HOME", "x") --> nil, NotFound
---env.set("MOOD", 7) --> nil, Invalid
---```
function env.set(name, value) end

---All variables with a public name and a value.
---
---Workflows: forbidden.
---@return table<string, string> values
---
---```lua
---env.get_all().GREETING --> "hello"
---```
function env.get_all() end

return env
