---@meta

---What an activity may know of its attempt, and say about it; and how activities are completed from
---outside.
---@class activity
local activity = {}

---The attempt at hand: `activity`, `attempt`, `workflow_id`, `run_id`, `workflow_type`,
---`task_queue`, `seq`, `start_to_close_ms`, `heartbeat_timeout_ms`, `heartbeat_details`, `job_id`,
---and `idempotency_key`, the same for all attempts of one call. A plain job has a `job_id`, and no
---`workflow_id`. `traceparent` is the trace it belongs to (W3C), for the header of a request to
---another system; an empty text without one.
---
---Workflows: forbidden. Elsewhere: activities.
---@return table? info
---@return Error? err
---
---```lua activity
---activity.info().attempt --> 1
---activity.info().seq --> 1
---```
---```lua function
---activity.info() --> nil, Invalid
---```
function activity.info() end

---Say that the activity is alive, and how far it came: the next attempt finds the `details`. A
---worker heartbeats for Lua code by itself; details over the namespace's limit of a payload are
---refused.
---
---Workflows: forbidden. Elsewhere: activities.
---@param details? any
---@return boolean? done
---@return Error? err
---
---```lua activity
---activity.heartbeat({step = 3}) --> true
---activity.heartbeat(print) --> nil, Invalid
---```
function activity.heartbeat(details) end

---What the last heartbeat of the attempt before said; nil in the first attempt.
---
---Workflows: forbidden. Elsewhere: activities.
---@return any details
---@return Error? err
---
---Proof: tests/modules/test_activity_module.py::test_the_next_attempt_gets_the_details
---```lua activity
---activity.heartbeat_details() --> nil
---```
function activity.heartbeat_details() end

---Whether the activity was asked to stop. Code that has asked once decides itself how it ends; code
---that never asks is ended where it waits.
---
---Workflows: forbidden. Elsewhere: activities.
---@return boolean? cancelled
---@return Error? err
---
---Proof: tests/modules/test_activity_module.py::test_code_that_asks_decides_how_it_ends
---```lua activity
---activity.is_cancelled() --> false
---```
function activity.is_cancelled() end

---Leave the activity open when its function returns: whoever has the token completes it. What the
---function returns is ignored, its timeouts go on running.
---
---Workflows: forbidden. Elsewhere: activities.
---@return string? token
---@return Error? err
---
---Proof: tests/protocol/test_deferring.py::test_an_activity_is_completed_from_outside
---```lua function
---activity.defer() --> nil, Invalid
---```
function activity.defer() end

---End an activity that called `defer()`, with a result.
---
---Workflows: forbidden. Elsewhere: everywhere.
---@param token string
---@param value? any
---@return boolean? done
---@return Error? err
---
---Proof: tests/protocol/test_deferring.py::test_lua_completes_an_activity
---```lua
---activity.complete("no token") --> nil, Invalid
---activity.complete("") --> nil, Invalid
---```
function activity.complete(token, value) end

---Fail an attempt that called `defer()`: with an error, by which its retry policy goes, or with a
---text, which is not tried again.
---
---Workflows: forbidden. Elsewhere: everywhere.
---@param token string
---@param err any
---@return boolean? done
---@return Error? err
---
---Proof: tests/protocol/test_deferring.py::test_lua_completes_an_activity
---```lua
---activity.fail("no token", "gone") --> nil, Invalid
---```
function activity.fail(token, err) end

return activity
