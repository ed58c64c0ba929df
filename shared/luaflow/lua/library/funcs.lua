---@meta

---Calls of functions. In a workflow **every** call is an activity: scheduled, retried, recorded.
---Elsewhere the function runs in the same process, or on a task queue when its options name one.
---@class funcs
local funcs = {}

---Call a function and wait for its result. An error keeps its kind, details and whether to retry.
---
---Workflows: recorded.
---@param id string
---@param ... any
---@return any value
---@return Error? err
---
---```lua
---local funcs = require("funcs")
---funcs.call("app:echo", {1, 2}) --> {1, 2}
---funcs.call("app:echo", {kind = "Conflict", message = "taken", retryable = false}) --> nil, Conflict
---funcs.call("") --> nil, Invalid
---funcs.call("echo") --> nil, Invalid
---```
function funcs.call(id, ...) end

---Begin a call and go on; the future says how it ends.
---
---Workflows: recorded.
---@param id string
---@param ... any
---@return Future? future
---@return Error? err
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", 7)
---future:response():receive():data() --> 7
---funcs.async("") --> nil, Invalid
---```
function funcs.async(id, ...) end

---Call a function for each item of a list, at most `concurrency` at a time (all by default). The
---results stand in the order of the list; the first failure cancels the rest.
---
---Workflows: recorded.
---@param id string
---@param list any[]
---@param options? {concurrency: integer?}
---@return any[]? results
---@return Error? err
---
---```lua
---local funcs = require("funcs")
---funcs.map("app:echo", {3, 1, 2}, {concurrency = 2}) --> {3, 1, 2}
---local bad = {kind = "Invalid", message = "x", retryable = false}
---select(2, funcs.map("app:echo", {bad})):kind() --> "Invalid"
---select(2, funcs.map("", {1})):kind() --> "Invalid"
---```
function funcs.map(id, list, options) end

---A builder of calls with options and context values. Each of its methods returns a new one.
---
---Workflows: pure.
---@return funcs.Executor executor
---
---```lua
---local funcs = require("funcs")
---funcs.new():call("app:echo", "x") --> "x"
---```
function funcs.new() end

---Calls with options and context values.
---@class funcs.Executor
local Executor = {}

---Add context values; they travel to whatever the function calls.
---
---Workflows: pure.
---@param values table
---@return funcs.Executor executor
---
---```lua
---local funcs = require("funcs")
---funcs.new():with_context({tenant = "acme"}):call("app:context", "tenant") --> "acme"
---funcs.new():with_context(7) --> raises "table"
---```
function Executor:with_context(values) end

---Set the options, in place of those it had. `activity.start_to_close_timeout`,
---`activity.retry_policy`, `activity.task_queue` and the others of the contract; durations are
---Go texts ("30s") or milliseconds.
---
---Workflows: pure.
---@param options table
---@return funcs.Executor executor
---
---```lua
---local funcs = require("funcs")
---funcs.new():with_options({["activity.start_to_close_timeout"] = "5s"}):call("app:echo", 1) --> 1
---```
---```lua workflow
---local funcs = require("funcs")
---funcs.new():with_options({["activity.start_to_close_timeout"] = true}):call("app:echo", 1) --> nil, Invalid
---```
function Executor:with_options(options) end

---Act for somebody: accepted, and passed on with the context.
---
---Workflows: pure.
---@param actor any
---@return funcs.Executor executor
---
---```lua
---local funcs = require("funcs")
---funcs.new():with_actor({id = "ada"}):call("app:echo", 1) --> 1
---```
function Executor:with_actor(actor) end

---Act within a scope: accepted, and passed on with the context.
---
---Workflows: pure.
---@param scope any
---@return funcs.Executor executor
---
---```lua
---local funcs = require("funcs")
---funcs.new():with_scope("orders"):call("app:echo", 1) --> 1
---```
function Executor:with_scope(scope) end

---`funcs.call` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param ... any
---@return any value
---@return Error? err
---
---```lua
---local funcs = require("funcs")
---funcs.new():call("app:echo", 1) --> 1
---funcs.new():call("") --> nil, Invalid
---```
function Executor:call(id, ...) end

---`funcs.async` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param ... any
---@return Future? future
---@return Error? err
---
---```lua
---local funcs = require("funcs")
---funcs.new():async("app:echo", 1):response():receive():data() --> 1
---funcs.new():async("") --> nil, Invalid
---```
function Executor:async(id, ...) end

---`funcs.map` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param list any[]
---@param options? {concurrency: integer?}
---@return any[]? results
---@return Error? err
---
---```lua
---local funcs = require("funcs")
---funcs.new():map("app:echo", {1, 2}) --> {1, 2}
---select(2, funcs.new():map("", {1})):kind() --> "Invalid"
---```
function Executor:map(id, list, options) end

---A call under way.
---@class Future
local Future = {}

---The channel on which the result comes, once: a Payload, or the error itself. Then it closes;
---after `cancel` it closes with nothing.
---
---Workflows: local.
---@return Channel channel
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", 7)
---future:response():receive():data() --> 7
---future:response():receive() --> nil, false
---```
function Future:response() end

---The same channel as `response`.
---
---Workflows: local.
---@return Channel channel
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", 7)
---future:channel() == future:response() --> true
---```
function Future:channel() end

---Whether the call has ended.
---
---Workflows: local.
---@return boolean complete
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", 7)
---future:is_complete() --> false
---future:response():receive()
---future:is_complete() --> true
---```
function Future:is_complete() end

---Whether the call was cancelled.
---
---Workflows: local.
---@return boolean canceled
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", 7)
---future:is_canceled() --> false
---future:cancel()
---future:is_canceled() --> true
---```
function Future:is_canceled() end

---How it ended, without waiting: nothing while it is under way, a Payload, or an error.
---
---Workflows: local.
---@return Payload? payload
---@return Error? err
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", 7)
---future:result() --> nil, nil
---future:response():receive()
---future:result():data() --> 7
---local other = funcs.async("app:echo", 7)
---other:cancel()
---other:result() --> nil, Canceled
---```
function Future:result() end

---The error and true when it failed, else nil and false. Its kind is Internal: `result` has the
---kind that the callee gave.
---
---Workflows: local.
---@return Error? err
---@return boolean failed
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", {kind = "Invalid", message = "x", retryable = false})
---future:response():receive()
---select(2, future:error()) --> true
---future:error():kind() --> "Internal"
---future:error():message() --> "x"
---future:result() --> nil, Invalid
---```
function Future:error() end

---Cancel the call. It is over at once; what it does later is ignored.
---
---Workflows: recorded.
---
---```lua
---local funcs = require("funcs")
---local future = funcs.async("app:echo", 7)
---future:cancel()
---future:response():receive() --> nil, false
---```
function Future:cancel() end

return funcs
