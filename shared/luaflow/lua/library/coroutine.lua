---@meta

---Coroutines. `spawn` makes one that the scheduler runs; the others are Lua's own.
---@class coroutine
coroutine = {}

---Run a function in a coroutine of its own, beside this one. It runs first until it waits. An error in it ends the whole run.
---
---Workflows: local.
---@param f function
---@return thread co
---
---```lua
---local ch = channel.new()
---coroutine.spawn(function() ch:send("hi") end)
---ch:receive() --> "hi", true
---coroutine.spawn(1) --> raises "function"
---```
function coroutine.spawn(f) end

---A coroutine that `resume` runs.
---
---Workflows: local.
---@param f function
---@return thread co
---
---```lua
---coroutine.resume(coroutine.create(function() return 7 end)) --> true, 7
---```
function coroutine.create(f) end

---Let a coroutine go on.
---
---Workflows: local.
---@param co thread
---@param ... any
---@return boolean ok
---@return any ...
---
---```lua
---local co = coroutine.create(function(a) return a + coroutine.yield(a) end)
---coroutine.resume(co, 1) --> true, 1
---coroutine.resume(co, 5) --> true, 6
---```
function coroutine.resume(co, ...) end

---Give values to whoever resumed this coroutine.
---
---Workflows: local.
---@param ... any
---@return any ...
---
---```lua
---coroutine.wrap(function() coroutine.yield(3) end)() --> 3
---```
function coroutine.yield(...) end

---A function that resumes a new coroutine.
---
---Workflows: local.
---@param f function
---@return function
---
---```lua
---coroutine.wrap(function() return 4 end)() --> 4
---```
function coroutine.wrap(f) end

---"running", "suspended", "normal" or "dead".
---
---Workflows: local.
---@param co thread
---@return string
---
---```lua
---coroutine.status(coroutine.create(function() end)) --> "suspended"
---```
function coroutine.status(co) end

---The coroutine that runs.
---
---Workflows: local.
---@return thread co
---@return boolean main
---
---```lua
---type(coroutine.running()) --> "thread"
---```
function coroutine.running() end

---Whether `yield` is possible here.
---
---Workflows: local.
---@return boolean
---
---```lua
---coroutine.wrap(function() return coroutine.isyieldable() end)() --> true
---```
function coroutine.isyieldable() end

---End a coroutine that is suspended.
---
---Workflows: local.
---@param co thread
---@return boolean ok
---@return any err
---
---```lua
---coroutine.close(coroutine.create(function() end)) --> true
---```
function coroutine.close(co) end
