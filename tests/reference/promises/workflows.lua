---@meta

---What workflows are promised.
---@class workflows
local workflows = {}

---The module of workflows, and its refusals elsewhere.
---
---Workflows: pure.
---
---```lua workflow
---select("#", workflow.exec("")), select(2, workflow.exec("")):message() --> 2, "workflow ID required"
---select("#", workflow.version("a", 1, 1)) --> 2
---workflow.version("b", 3, 4), workflow.version("b", 1, 9) --> 4, 4
---workflow.attrs(7) --> nil, Invalid
---workflow.attrs({search = {a = "x", b = true, c = 1, d = 1.5, e = {"x", "y"}}}) --> true
---workflow.attrs({search = {t = require("time").now()}}) --> true
---workflow.attrs({search = {e = {"x", 1}}}) --> nil, Invalid
---workflow.info().workflow_type, workflow.info().namespace ~= nil, workflow.info().run_id ~= nil, workflow.info().workflow_id ~= nil --> like "^app:"
---select("#", workflow.info()) --> 2
---```
---```lua function activity
---workflow.exec("app:nested") --> nil, Invalid
---select(2, workflow.exec("app:nested")):message() --> like "outside workflow context not yet supported"
---select(2, workflow.attrs({memo = {}})):message() --> like "only available in workflow context"
---workflow.version("a", 1, 7) --> 7
---```
function workflows.the_module() end

---How calls and children fail, and what the errors say.
---
---Workflows: pure.
---
---```lua workflow
---local once = funcs.new():with_options({["activity.retry_policy"] = {maximum_attempts = 1}})
---local _, err = once:call("app:raises")
---err:kind(), err:retryable() --> "Internal", nil
---err:message() --> like "raises.*:1: x"
---err:details()._wrapper, err:details()._activity_id ~= nil, err:details()._retry_state ~= nil --> "activity", true, true
---local _, e2 = once:call("app:texts")
---e2:kind(), e2:retryable(), e2:message() --> "Internal", false, "gone"
---local _, e3 = once:call("app:nobody")
---e3:kind(), e3:retryable() --> "NotFound", true
---local _, e4 = funcs.new():with_options({["activity.start_to_close_timeout"] = "30ms", ["activity.retry_policy"] = {maximum_attempts = 1}}):call("app:slow")
---e4:kind(), e4:retryable(), e4:details().timeout_type --> "Timeout", false, "start_to_close"
---local _, e5 = workflow.exec("app:nested", {kind = "Busy", message = "m", details = {a = 1}})
---e5:kind(), e5:retryable(), e5:message(), e5:details().a --> "Busy", true, "m", 1
---e5:details()._wrapper, e5:details()._workflow_type, e5:details()._run_id ~= nil --> "child_workflow", "app:nested", true
---workflow.exec("app:nothing") --> nil, NotFound
---local _, e6 = process.with_options({["workflow.execution_timeout"] = "50ms"}):exec("app:waiting", "app:worker")
---e6:kind() --> "Timeout"
---funcs.new():with_options({["activity.retry_policy"] = {maximum_attempts = 5, non_retryable_error_types = "Conflict"}}):call("app:echo", {kind = "Conflict", message = "m"}) --> nil, Conflict
---local f = once:async("app:slow")
---f:cancel()
---f:is_canceled() --> true
---```
function workflows.failures() end

---Options of calls: both spellings of keys, wrong values, what never starts.
---
---Workflows: pure.
---
---```lua workflow
---local bad = funcs.new():with_options({["activity.start_to_close_timeout"] = {}})
---select(2, bad:call("app:echo")):message() --> like "^invalid temporal activity options for app:echo: "
---bad:async("app:echo") --> nil, Invalid
---funcs.new():with_options({["activity.id"] = "mine", ["activity.retry_policy"] = {initialInterval = "1s", maximumAttempts = 1}}):call("app:echo", 1) --> 1
---funcs.new():with_options({["activity.retry_policy"] = {maximum_attempts = 1}}):call("app:nobody") --> nil, NotFound
---funcs.new():with_options({["activity.schedule_to_start_timeout"] = "10ms", ["activity.task_queue"] = "nowhere"}):call("app:echo", 1) --> nil, Timeout
---select(2, funcs.new():with_options({["activity.schedule_to_start_timeout"] = "10ms", ["activity.task_queue"] = "nowhere"}):call("app:echo", 1)):details().timeout_type --> "schedule_to_start"
---```
function workflows.options() end

---Context values travel; what is no update cannot be answered; an empty saga.
---
---Workflows: pure.
---
---```lua workflow
---funcs.new():with_context({a = "b"}):call("app:context", "a") --> "b"
---process.with_context({a = "b"}):exec("app:nested", "app:worker", 1) --> 1
---process.send("{update|nothing}", "ok", 1) --> nil, Invalid
---workflow.saga():compensate() --> true
---```
function workflows.context() end

return workflows
