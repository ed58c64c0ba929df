---@meta

---What a workflow knows of itself, and what only a workflow can do.
---@class workflow
local workflow = {}

---Who this run is: workflow_id, run_id, workflow_type, task_queue, namespace, attempt, history_length,
---history_size. Outside workflows nothing.
---
---Workflows: pure. Elsewhere: no effect.
---@return table? info
---@return nil
---
---```lua workflow
---local workflow = require("workflow")
---workflow.info().attempt --> 1
---workflow.info().task_queue --> "q"
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.info() --> nil, nil
---```
function workflow.info() end

---The number of events seen so far; 0 outside workflows.
---
---Workflows: pure. Elsewhere: no effect.
---@return integer length
---
---```lua workflow
---local workflow = require("workflow")
---workflow.history_length() --> 1
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.history_length() --> 0
---```
function workflow.history_length() end

---The bytes of the events seen so far; 0 outside workflows.
---
---Workflows: pure. Elsewhere: no effect.
---@return integer bytes
---
---```lua workflow
---local workflow = require("workflow")
---workflow.history_size() > 0 --> true
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.history_size() --> 0
---```
function workflow.history_size() end

---Which side of a change this run is on. New runs get `max` and keep it; one that passed this place
---before the change gets `min`, or -1 where min <= -1.
---
---Workflows: recorded. Elsewhere: no effect.
---@param change_id string
---@param min integer
---@param max integer
---@return integer? version
---@return Error? err
---
---```lua
---local workflow = require("workflow")
---workflow.version("refunds", 1, 2) --> 2
---workflow.version("", 1, 2) --> nil, Invalid
---workflow.version("refunds", 3, 2) --> nil, Invalid
---```
function workflow.version(change_id, min, max) end

---Set search attributes and memo: what `list` filters by, and what `describe` shows. A nil does not
---unset.
---
---Workflows: recorded. Elsewhere: refused.
---@param values {search: table?, memo: table?}
---@return true? ok
---@return Error? err
---
---```lua workflow
---local workflow = require("workflow")
---workflow.attrs({search = {customer = "ada"}, memo = {note = "x"}}) --> true
---workflow.attrs({}) --> nil, Invalid
---workflow.attrs({search = {x = {}}}) --> nil, Invalid
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.attrs({memo = {}}) --> nil, Invalid
---```
function workflow.attrs(values) end

---Start a child workflow and wait for its result.
---
---Workflows: recorded. Elsewhere: refused.
---@param id string
---@param ... any
---@return any value
---@return Error? err
---
---```lua workflow
---local workflow = require("workflow")
---workflow.exec("app:nested", {a = 1}) --> {a = 1}
---workflow.exec("app:nested", {kind = "Conflict", message = "taken"}) --> nil, Conflict
---workflow.exec("") --> nil, Invalid
---workflow.exec("nested") --> nil, Invalid
---workflow.exec("app:nobody") --> nil, NotFound
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.exec("app:nested") --> nil, Invalid
---```
function workflow.exec(id, ...) end

---The same as `exec`.
---
---Workflows: recorded. Elsewhere: refused.
---@param id string
---@param ... any
---@return any value
---@return Error? err
---
---```lua workflow
---local workflow = require("workflow")
---workflow.call("app:nested", 7) --> 7
---workflow.call("") --> nil, Invalid
---```
function workflow.call(id, ...) end

---End this run and begin the next one of the same workflow id with these arguments. Messages nobody
---took, memo, attributes and timeouts carry over. It does not return.
---
---Workflows: recorded. Elsewhere: refused.
---Proof: tests/lua/test_kernel_workflow.py::test_continue_as_new_ends_the_run_and_names_the_unread
---@param ... any
---@return nil
---@return Error? err
---
---```lua function activity
---local workflow = require("workflow")
---workflow.continue_as_new() --> nil, Invalid
---```
function workflow.continue_as_new(...) end

---Run a function once and record what it returns; a replay takes the record. It must not wait or give
---commands.
---
---Workflows: recorded.
---@param fn function
---@return any value
---@return Error? err
---
---```lua
---local workflow = require("workflow")
---workflow.side_effect(function() return {n = 7} end) --> {n = 7}
---workflow.side_effect(function() error("no") end) --> nil, Internal
---```
function workflow.side_effect(fn) end

---Wait until a function of local state holds: true; or false when the time is over.
---
---Workflows: recorded.
---@param predicate function
---@param timeout? integer|string|time.Duration
---@return boolean? held
---@return Error? err
---
---```lua
---local workflow = require("workflow")
---local done = false
---coroutine.spawn(function() done = true end)
---workflow.await(function() return done end) --> true
---workflow.await(function() return false end, "1ms") --> false
---workflow.await(function() return false end, "soon") --> nil, Invalid
---```
function workflow.await(predicate, timeout) end

---Answer queries of a name. The function gets what is asked with, may read the workflow's state, and must
---not change or wait for anything.
---
---Workflows: local. Elsewhere: refused.
---@param name string
---@param fn function
---@return true? ok
---@return Error? err
---
---Proof: tests/protocol/test_queries.py::test_a_query_is_answered
---```lua workflow
---local workflow = require("workflow")
---workflow.on_query("total", function() return 7 end) --> true
---workflow.on_query("", print) --> nil, Invalid
---workflow.on_query("total") --> raises "function"
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.on_query("total", print) --> nil, Invalid
---```
function workflow.on_query(name, fn) end

---Answer updates of a name. Each runs beside the workflow's own code; what it returns is the answer. A
---`validator` gets the same arguments before anything is recorded: with `nil, err` or `false` it refuses.
---
---Workflows: recorded. Elsewhere: refused.
---@param name string
---@param fn function
---@param validator? function
---@return true? ok
---@return Error? err
---
---Proof: tests/protocol/test_updates.py::test_an_update_is_answered_in_the_same_decision
---```lua workflow
---local workflow = require("workflow")
---workflow.on_update("add", function(n) return n end, function(n) return n > 0 end) --> true
---workflow.on_update("", print) --> nil, Invalid
---workflow.on_update("add") --> raises "function"
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.on_update("add", print) --> nil, Invalid
---```
function workflow.on_update(name, fn, validator) end

---Whether every update that came is answered. One that is not when the workflow ends fails:
---`workflow.await(workflow.all_handlers_finished)` waits.
---
---Workflows: local. Elsewhere: no effect.
---@return boolean finished
---
---Proof: tests/lua/test_kernel_updates.py::test_code_can_wait_for_its_handlers
---```lua
---local workflow = require("workflow")
---workflow.all_handlers_finished() --> true
---```
function workflow.all_handlers_finished() end

---Show a value under a name: it is stored with the commit, and read without a worker. Nil takes it away.
---At most 32 views of 64 KB.
---
---Workflows: local. Elsewhere: refused.
---@param name string
---@param value any
---@return true? ok
---@return Error? err
---
---Proof: tests/protocol/test_views.py::test_a_view_is_read_without_a_worker
---```lua workflow
---local workflow = require("workflow")
---workflow.set_view("progress", {done = 3, of = 7}) --> true
---workflow.set_view("progress", nil) --> true
---workflow.set_view("progress", print) --> nil, Invalid
---workflow.set_view("", 1) --> nil, Invalid
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.set_view("progress", 1) --> nil, Invalid
---```
function workflow.set_view(name, value) end

---Run a function whose waits no cancellation interrupts; returns what it returns.
---
---Workflows: local.
---@param fn function
---@param ... any
---@return any ...
---
---```lua
---local workflow = require("workflow")
---workflow.shielded(function(a) return a, 2 end, 1) --> 1, 2
---```
function workflow.shielded(fn, ...) end

---A list of how to undo what was done: add each step when it is done, compensate when a later one fails.
---`options` are those of the activities that undo, as in `funcs.new():with_options`.
---
---Workflows: recorded.
---@param options? table
---@return workflow.Saga saga
---
---```lua
---local workflow = require("workflow")
---local saga = workflow.saga({["activity.retry_policy"] = {maximum_attempts = 3}})
---saga:add("app:echo", "refund") --> true
---saga:compensate() --> true
---workflow.saga(7) --> raises "table"
---```
function workflow.saga(options) end

---Steps to undo.
---@class workflow.Saga
local Saga = {}

---Remember that a function, called with these arguments, undoes a step. In a workflow it is an activity.
---
---Workflows: local.
---@param id string
---@param ... any
---@return true? ok
---@return Error? err
---
---```lua
---local workflow = require("workflow")
---local saga = workflow.saga()
---saga:add("app:echo", "refund", 7) --> true
---saga:add("") --> nil, Invalid
---saga:add("app:echo", print) --> nil, Invalid
---```
function Saga:add(id, ...) end

---Undo every step, the last one first, each with its retries, also when the workflow was cancelled. A step
---that cannot be undone does not keep the others: `err:details().errors` lists those that failed.
---
---Workflows: recorded.
---@return true? ok
---@return Error? err
---
---Proof: tests/modules/test_saga.py::test_the_last_step_is_undone_first
---```lua
---local workflow = require("workflow")
---local saga = workflow.saga()
---saga:add("app:echo", "refund") --> true
---saga:compensate() --> true
---saga:add("app:echo", {kind = "Conflict", message = "shipped", retryable = false}) --> true
---local ok, err = saga:compensate()
---err:kind(), #err:details().errors, err:details().errors[1].kind --> "Internal", 1, "Conflict"
---```
function Saga:compensate() end

---Wait for a lock over all runs of the namespace: one run has it at a time, or `limit` runs. `timeout` bounds
---the wait, 0 asks only. The lock goes back when the run closes, however it closes, or with `release`. It is
---not counted: a run that has it, or waits for it, gets Conflict.
---
---Workflows: recorded. Elsewhere: refused.
---@param key string
---@param options? {limit: integer?, timeout: integer|string|time.Duration|nil}
---@return workflow.Lock? lock
---@return Error? err
---
---```lua workflow
---local workflow = require("workflow")
---local lock = workflow.lock("stock", {timeout = "20s"})
---workflow.lock("stock") --> nil, Conflict
---lock:release() --> true
---workflow.lock("pool", {limit = 3}):release() --> true
---workflow.lock("") --> nil, Invalid
---workflow.lock("stock", {limit = 0}) --> nil, Invalid
---workflow.lock("stock", {timeout = "soon"}) --> nil, Invalid
---```
---```lua function activity
---local workflow = require("workflow")
---workflow.lock("stock") --> nil, Invalid
---```
function workflow.lock(key, options) end

---A lock that this run has.
---@class workflow.Lock
local Lock = {}

---Give it back, to whoever waits first. Again, it changes nothing.
---
---Workflows: recorded.
---@return true? ok
---
---```lua workflow
---local workflow = require("workflow")
---local lock = workflow.lock("desk")
---lock:release() --> true
---lock:release() --> true
---workflow.lock("desk"):release() --> true
---```
function Lock:release() end

return workflow
