---@meta

---What processes are promised, workflows among them.
---@class processes
local processes = {}

---Destinations, ids, hosts and options that are none.
---
---Workflows: pure.
---
---```lua
---process.send("nobody", "t") --> nil, NotFound
---select(2, process.send("nobody", "t")):message() --> "could not resolve 'nobody' as PID or registered name"
---select(2, process.send("nobody", "t")):retryable() --> false
---select(2, process.cancel("nobody")):message() --> "could not resolve 'nobody' as PID or registered name"
---select(2, process.terminate("nobody")):retryable() --> false
---process.send("nobody") --> nil, Invalid
---process.spawn("app:nested") --> nil, Invalid
---process.spawn("nested", "app:worker") --> nil, Invalid
---process.exec("app:nested", "") --> nil, Invalid
---process.exec(nil, "app:worker") --> nil, Invalid
---process.exec("app:nested", nil) --> nil, Invalid
---select("#", process.get_options()) --> 1
---process.set_options(7) --> false
---process.set_options({trap_links = 1}) --> false
---process.set_options({upgradable = true}) --> true
---process.unlisten(process.listen("a")) --> true
---process.send("{app:client@app:worker|no-such}", "t") --> nil, NotFound
---process.cancel("{app:client@app:worker|no-such}") --> nil, NotFound
---process.terminate("{app:client@app:worker|no-such}") --> nil, NotFound
---process.with_context({}):with_name("") --> raises "name"
---process.with_context({}):with_message("@x") --> raises "topic"
---process.with_options({network = "x"}):exec("app:nested", "app:worker", 1) --> 1
---process.with_context({}):spawn_monitored("app:nested") --> nil, Invalid
---```
function processes.refusals() end

---No value, one, several: nil, the value, a list.
---
---Workflows: pure.
---
---```lua
---local ch = process.listen("many")
---process.send(process.pid(), "many")
---process.send(process.pid(), "many", 1)
---process.send(process.pid(), "many", 1, 2)
---process.send(process.pid(), "many", nil)
---ch:receive() --> nil, true
---ch:receive() --> 1, true
---ch:receive() --> {1, 2}, true
---ch:receive() --> nil, true
---```
---```lua
---local ch = process.listen("m", {message = true})
---process.send(process.pid(), "m", 1, 2)
---local m = ch:receive()
---m:topic(), m:payload()[2]:data(), tostring(m) --> "m", 2, "process.Message{topic=m}"
---```
function processes.payloads() end

---What nobody listens to goes to the inbox, also when it came before.
---
---Workflows: pure.
---
---```lua
---process.send(process.pid(), "early", 1)
---local i = process.inbox()
---i:receive():topic() --> "early"
---process.send(process.pid(), "late", 1)
---process.listen("late2")
---i:receive():topic() --> "late"
---```
function processes.mailbox() end

---Ends of children: events with results, errors, and what they say of a termination.
---
---Workflows: pure.
---
---```lua
---local pid = process.spawn_monitored("app:nested", "app:worker", {kind = "Conflict", message = "x", details = {a = 1}})
---local e = process.events():receive()
---e.kind, e.from == pid, e.result.value, e.result.error:kind(), e.result.error:message() --> "pid.exit", true, nil, "Conflict", "x"
---type(e.at) --> "string"
---```
---```lua workflow
---process.registry.register("x") --> nil, Invalid
---select(2, process.monitor("{a|b}")):message() --> like "^process.monitor not supported in workflow context"
---select(2, process.unlink("{a|b}")):retryable() --> false
---local p = process.spawn("app:waiting", "app:worker")
---process.terminate(p) --> true
---local e = process.events():receive()
---e.result.error:kind(), e.result.error:message(), e.result.error:retryable() --> "Canceled", "workflow terminated", false
---local q = process.spawn("app:waiting", "q")
---q --> like "@q|"
---```
---```lua function activity
---local p = process.spawn_monitored("app:waiting", "app:worker")
---process.terminate(p) --> true
---local e = process.events():receive()
---e.result.error:kind(), e.result.error:message(), e.result.error:retryable() --> "Canceled", "workflow terminated", false
---process.registry.register("n" .. process.pid():gsub("[{}|]", "")) --> true
---process.registry.lookup("n" .. process.pid():gsub("[{}|]", "")) == process.pid() --> true
---process.registry.register("n" .. process.pid():gsub("[{}|]", "")) --> true
---process.registry.register("n" .. process.pid():gsub("[{}|]", ""), p) --> nil, AlreadyExists
---process.registry.unregister("n" .. process.pid():gsub("[{}|]", "")) --> true
---process.registry.lookup("n" .. process.pid():gsub("[{}|]", "")) --> nil, NotFound
---select(2, process.registry.lookup("nn")):message() --> "name not registered"
---process.registry.unregister("nn") --> false
---```
function processes.ends() end

---What happens when the id runs already.
---
---Workflows: pure.
---
---```lua
---local s = process.with_options({["workflow.id"] = "same-" .. process.pid():gsub("[{}|]", "")})
---local a = s:spawn("app:waiting", "app:worker")
---s:spawn("app:waiting", "app:worker") == a --> true
---s:with_options({["workflow.id_conflict_policy"] = "fail"}):spawn("app:waiting", "app:worker") --> nil, AlreadyExists
---s:with_options({["temporal.workflow.id_conflict_policy"] = "USE-EXISTING"}):spawn("app:waiting", "app:worker") == a --> true
---s:with_options({["workflow.run_timeout"] = "x"}):spawn("app:waiting", "app:worker") --> nil, Invalid
---process.terminate(a) --> true
---```
function processes.policies() end

---Messages that are there before the code begins; calls that are cancelled.
---
---Workflows: pure.
---
---```lua
---local s = process.with_context({}):with_message("go", 9):with_message("")
---s:exec("app:waiting", "app:worker") --> 9
---local f = funcs.async("app:echo", 1)
---f:cancel()
---f:is_canceled(), select(2, f:result()):message() --> true, "canceled"
---f:channel():receive() --> nil, false
---```
function processes.builders() end

---Errors of functions called in place, timeouts, context; processes on a host.
---
---Workflows: pure.
---
---```lua function activity
---local _, err = funcs.call("app:raises")
---err:kind() --> "Internal"
---err:message() --> like "x"
---local _, e2 = funcs.call("app:texts")
---e2:kind(), e2:message() --> "Internal", "gone"
---funcs.call("app:nobody") --> nil, NotFound
---funcs.new():with_options({timeout = 30}):call("app:slow") --> nil, Timeout
---funcs.new():with_options({timeout = "30ms"}):call("app:slow") --> nil, Timeout
---funcs.new():with_context({tenant = "acme"}):call("app:context", "tenant") --> "acme"
---local p = process.spawn("app:listener", "app:host")
---process.monitor(p) --> true
---process.send(p, "go", 5) --> true
---process.events():receive().result.value --> 5
---process.exec("app:echoes", "app:host", 6) --> 6
---```
function processes.calls() end

return processes
