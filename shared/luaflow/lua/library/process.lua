---@meta

---Who this code is, and messages to and from others. A workflow and every running function is a
---process: it has a PID, an inbox, and can be watched.
---@class process
process = {}

---What kinds of events there are on `process.events()`.
---@class process.event
---@field EXIT string `pid.exit` Somebody this process watches has ended: `result.value`, `result.error`.
---@field LINK_DOWN string `pid.link.down` Somebody it is linked to has failed.
---@field CANCEL string `pid.cancel` It is asked to cancel: `reason`.
---@field OUTDATED string `pid.outdated` Newer code is there.
process.event = {}

---The PID of this process.
---
---Workflows: pure.
---@return string? pid
---
---```lua
---process.pid() --> like "^{.+|.+}$"
---```
function process.pid() end

---The id of the entry that runs.
---
---Workflows: pure.
---@return string id
---
---```lua
---process.id() --> like "^app:"
---```
function process.id() end

---The channel of messages that no `listen` takes.
---
---Workflows: local.
---@return Channel inbox
---
---```lua
---process.inbox() == process.inbox() --> true
---```
function process.inbox() end

---The channel of events: ends of others, requests to cancel.
---
---Workflows: local.
---@return Channel events
---
---```lua
---process.events() == process.events() --> true
---```
function process.events() end

---The channel of the messages of one topic: their values, or with `message = true` the messages.
---
---Workflows: local.
---@param topic string
---@param options? {message: boolean}
---@return Channel? channel
---@return Error? err
---
---```lua
---process.listen("go") == process.listen("go") --> true
---process.listen("") --> nil, Invalid
---process.listen("@x") --> nil, Invalid
---```
---```lua
---process.send(process.pid(), "go", 7) --> true
---process.listen("go"):receive() --> 7, true
---```
function process.listen(topic, options) end

---Close a channel of `listen`.
---
---Workflows: local.
---@param channel Channel
---@return true? ok
---@return Error? err
---
---```lua
---local ch = process.listen("go")
---process.unlisten(ch) --> true
---ch:receive() --> nil, false
---process.unlisten(7) --> nil, Invalid
---```
function process.unlisten(channel) end

---Send a message to a PID or a registered name. To a workflow it is durable once this returns true.
---
---Workflows: recorded.
---@param dest string
---@param topic string
---@param ... any
---@return true? ok
---@return Error? err
---
---```lua
---local pid = process.spawn("app:waiting", "app:worker")
---process.send(pid, "go", "x") --> true
---process.send("nobody", "go") --> nil, NotFound
---process.send(pid, "@go") --> nil, Invalid
---process.send(pid) --> nil, Invalid
---```
function process.send(dest, topic, ...) end

---Ask a running workflow for something that changes it, with `workflow.on_update`, and wait for the answer.
---The update is durable once it is accepted; a validator that refuses it leaves no trace. A workflow
---asks another one through a function.
---
---Workflows: refused.
---@param dest string
---@param name string
---@param ... any
---@return any value
---@return Error? err
---
---```lua function activity
---local pid = process.spawn("app:account", "app:worker", 10)
---process.update(pid, "add", 5) --> 15
---process.update(pid, "add", -20) --> nil, Invalid
---process.update("nobody", "add", 5) --> nil, NotFound
---```
---```lua workflow
---process.update("{app:client@app:worker|a}", "add", 5) --> nil, Invalid
---```
function process.update(dest, name, ...) end

---Ask a workflow for something that changes nothing, with `workflow.on_query`, and wait for the answer: also
---one that has ended.
---
---Workflows: refused.
---@param dest string
---@param name string
---@param ... any
---@return any value
---@return Error? err
---
---```lua function activity
---local pid = process.spawn("app:account", "app:worker", 10)
---process.query(pid, "total") --> 10
---process.query(pid, "color") --> nil, NotFound
---process.query("nobody", "total") --> nil, NotFound
---```
---```lua workflow
---process.query("{app:client@app:worker|a}", "total") --> nil, Invalid
---```
function process.query(dest, name, ...) end

---Start a workflow on a worker, or a process on a host; its PID.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---process.spawn("app:nested", "app:worker", 7) --> like "^{.+|.+}$"
---process.spawn("app:nobody", "app:worker") --> nil, NotFound
---process.spawn("app:nested") --> nil, Invalid
---```
function process.spawn(id, host, ...) end

---The same, and watch it: its end is an EXIT event.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---local pid = process.spawn_monitored("app:nested", "app:worker", 7)
---local event = process.events():receive()
---event.kind, event.from == pid, event.result.value --> "pid.exit", true, 7
---process.spawn_monitored("app:nobody", "app:worker") --> nil, NotFound
---```
function process.spawn_monitored(id, host, ...) end

---The same, and be linked to it: if it fails, this process does, or with `trap_links` gets LINK_DOWN.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---process.spawn_linked("app:nested", "app:worker", 7) --> like "^{"
---process.spawn_linked("app:nobody", "app:worker") --> nil, NotFound
---```
function process.spawn_linked(id, host, ...) end

---Both.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---process.spawn_linked_monitored("app:nested", "app:worker", 7) --> like "^{"
---process.spawn_linked_monitored("app:nobody", "app:worker") --> nil, NotFound
---```
function process.spawn_linked_monitored(id, host, ...) end

---Start it and wait for its result.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return any value
---@return Error? err
---
---```lua
---process.exec("app:nested", "app:worker", 7) --> 7
---process.exec("app:nested", "app:worker", {kind = "Conflict", message = "taken"}) --> nil, Conflict
---process.exec("nested", "app:worker") --> nil, Invalid
---```
function process.exec(id, host, ...) end

---Ask a process to cancel: it gets a CANCEL event with the reason.
---
---Workflows: recorded.
---@param dest string
---@param reason? string
---@return true? ok
---@return Error? err
---
---```lua
---local pid = process.spawn("app:waiting", "app:worker")
---process.cancel(pid, "too late") --> true
---process.cancel("nobody") --> nil, NotFound
---process.cancel(pid, {}) --> nil, Invalid
---```
function process.cancel(dest, reason) end

---End a process at once; its code does not hear of it.
---
---Workflows: recorded.
---@param dest string
---@return true? ok
---@return Error? err
---
---```lua
---local pid = process.spawn("app:waiting", "app:worker")
---process.terminate(pid) --> true
---process.terminate("nobody") --> nil, NotFound
---```
function process.terminate(dest) end

---Watch a process: its end, also one that was, is an EXIT event. A workflow's children are watched
---without asking.
---
---Workflows: refused.
---@param dest string
---@return true? ok
---@return Error? err
---
---```lua function activity
---local pid = process.spawn("app:waiting", "app:worker")
---process.monitor(pid) --> true
---process.send(pid, "go", 5) --> true
---process.events():receive().result.value --> 5
---process.monitor("nobody") --> nil, NotFound
---```
---```lua workflow
---process.monitor("x") --> nil, Invalid
---```
function process.monitor(dest) end

---Watch it no more.
---
---Workflows: refused.
---@param dest string
---@return true? ok
---@return Error? err
---
---```lua function activity
---local pid = process.spawn("app:waiting", "app:worker")
---process.monitor(pid) --> true
---process.unmonitor(pid) --> true
---process.unmonitor("nobody") --> nil, NotFound
---```
---```lua workflow
---process.unmonitor("x") --> nil, Invalid
---```
function process.unmonitor(dest) end

---Be linked to a process.
---
---Workflows: refused.
---@param dest string
---@return true? ok
---@return Error? err
---
---```lua function activity
---process.set_options({trap_links = true}) --> true
---local pid = process.spawn("app:waiting", "app:worker")
---process.link(pid) --> true
---process.terminate(pid) --> true
---process.events():receive().kind --> "pid.link.down"
---process.link("nobody") --> nil, NotFound
---```
---```lua workflow
---process.link("x") --> nil, Invalid
---```
function process.link(dest) end

---Be linked no more.
---
---Workflows: refused.
---@param dest string
---@return true? ok
---@return Error? err
---
---```lua function activity
---local pid = process.spawn("app:waiting", "app:worker")
---process.link(pid) --> true
---process.unlink(pid) --> true
---process.unlink("nobody") --> nil, NotFound
---```
---```lua workflow
---process.unlink("x") --> nil, Invalid
---```
function process.unlink(dest) end

---The options of this process.
---
---Workflows: local.
---@return table options
---
---```lua
---process.get_options().trap_links --> false
---```
function process.get_options() end

---Set options: `trap_links` (get LINK_DOWN instead of failing), `upgradable`, `interrupt_on_cancel`
---(a cancel request makes waits return Canceled).
---
---Workflows: local.
---@param options table
---@return boolean ok
---@return Error? err
---
---```lua
---process.set_options({trap_links = true}) --> true
---process.get_options().trap_links --> true
---select(2, process.set_options({color = "red"})):kind() --> "Invalid"
---process.set_options({color = "red"}) --> false
---```
function process.set_options(options) end

---Go on as another entry, or as the newest code of this one for nil. A workflow continues as new.
---
---Workflows: recorded.
---Proof: tests/lua/test_kernel_workflow.py::test_continue_as_new_ends_the_run_and_names_the_unread
---@param id string?
---@param ... any
---@return nil
---@return Error? err
function process.upgrade(id, ...) end

---A builder of spawns that carry these context values.
---
---Workflows: pure.
---@param values table
---@return process.Spawner spawner
---
---```lua
---process.with_context({tenant = "acme"}):exec("app:nested", "app:worker", 7) --> 7
---process.with_context(7) --> raises "table"
---```
function process.with_context(values) end

---A builder of spawns with these start options, such as `workflow.id`.
---
---Workflows: pure.
---@param options table
---@return process.Spawner spawner
---
---```lua
---process.with_options({["workflow.run_timeout"] = "1h"}):exec("app:nested", "app:worker", 7) --> 7
---process.with_options({["workflow.run_timeout"] = true}):exec("app:nested", "app:worker", 7) --> nil, Invalid
---```
function process.with_options(options) end

---Starts with context, options, a name, first messages. Each method returns a new one.
---@class process.Spawner
local Spawner = {}

---Add context values.
---
---Workflows: pure.
---@param values table
---@return process.Spawner spawner
---
---```lua
---process.with_context({}):with_context({a = 1}):exec("app:nested", "app:worker", 7) --> 7
---```
function Spawner:with_context(values) end

---Add start options; the later ones win.
---
---Workflows: pure.
---@param options table
---@return process.Spawner spawner
---
---```lua
---process.with_options({}):with_options({["workflow.summary"] = "x"}):exec("app:nested", "app:worker", 7) --> 7
---```
function Spawner:with_options(options) end

---Give it a name: a workflow's id, or a process's registered name. One that runs already gets the first
---messages, and its PID is returned.
---
---Workflows: pure.
---@param name string
---@return process.Spawner spawner
---
---```lua
---local name = "named-" .. process.pid():gsub("[{}|]", "")
---local spawner = process.with_context({}):with_name(name)
---local pid = spawner:spawn("app:waiting", "app:worker")
---pid:find(name, 1, true) ~= nil --> true
---process.with_context({}):with_name("") --> raises "name"
---```
function Spawner:with_name(name) end

---Add a message that is there before the code begins.
---
---Workflows: pure.
---@param topic string
---@param ... any
---@return process.Spawner spawner
---
---```lua
---process.with_context({}):with_message("go", 9):exec("app:waiting", "app:worker") --> 9
---process.with_context({}):with_message("@go") --> raises "topic"
---```
function Spawner:with_message(topic, ...) end

---Act for somebody: accepted, and passed on with the context.
---
---Workflows: pure.
---@param actor any
---@return process.Spawner spawner
---
---```lua
---process.with_context({}):with_actor({id = "ada"}):exec("app:nested", "app:worker", 7) --> 7
---```
function Spawner:with_actor(actor) end

---Act within a scope: accepted, and passed on with the context.
---
---Workflows: pure.
---@param scope any
---@return process.Spawner spawner
---
---```lua
---process.with_context({}):with_scope("orders"):exec("app:nested", "app:worker", 7) --> 7
---```
function Spawner:with_scope(scope) end

---`process.spawn` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---process.with_context({}):spawn("app:nested", "app:worker", 7) --> like "^{"
---process.with_context({}):spawn("app:nobody", "app:worker") --> nil, NotFound
---```
function Spawner:spawn(id, host, ...) end

---`process.spawn_monitored` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---process.with_context({}):spawn_monitored("app:nested", "app:worker", 7) --> like "^{"
---process.with_context({}):spawn_monitored("app:nobody", "app:worker") --> nil, NotFound
---```
function Spawner:spawn_monitored(id, host, ...) end

---`process.spawn_linked` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---process.with_context({}):spawn_linked("app:nested", "app:worker", 7) --> like "^{"
---process.with_context({}):spawn_linked("app:nobody", "app:worker") --> nil, NotFound
---```
function Spawner:spawn_linked(id, host, ...) end

---`process.spawn_linked_monitored` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return string? pid
---@return Error? err
---
---```lua
---process.with_context({}):spawn_linked_monitored("app:nested", "app:worker", 7) --> like "^{"
---process.with_context({}):spawn_linked_monitored("app:nobody", "app:worker") --> nil, NotFound
---```
function Spawner:spawn_linked_monitored(id, host, ...) end

---`process.exec` with what this builder holds.
---
---Workflows: recorded.
---@param id string
---@param host string
---@param ... any
---@return any value
---@return Error? err
---
---```lua
---process.with_context({}):exec("app:nested", "app:worker", 7) --> 7
---process.with_context({}):exec("", "app:worker") --> nil, Invalid
---```
function Spawner:exec(id, host, ...) end

---A message.
---@class process.Message
local Message = {}

---Its topic.
---
---Workflows: local.
---@return string topic
---
---```lua
---process.send(process.pid(), "go", {a = 1})
---local message = process.inbox():receive()
---message:topic() --> "go"
---```
function Message:topic() end

---The PID of its sender, "" for one without.
---
---Workflows: local.
---@return string pid
---
---```lua
---process.send(process.pid(), "go", {a = 1})
---local message = process.inbox():receive()
---message:from() == process.pid() --> true
---```
function Message:from() end

---Its value as a Payload; a list of them for several values, nil for none.
---
---Workflows: local.
---@return Payload|Payload[]|nil payload
---
---```lua
---process.send(process.pid(), "go", {a = 1})
---local message = process.inbox():receive()
---message:payload():data() --> {a = 1}
---```
function Message:payload() end

---Names of processes. Not in workflows: what stands behind a name changes.
---@class process.registry
---@field LOCAL integer `0` A name within this process of the system.
---@field EVENTUAL integer `1` A name within the namespace, as CONSISTENT and STRONG are.
---@field CONSISTENT integer `2`
---@field STRONG integer `3`
local registry = {}

---Give a PID (this process's own by default) a name. It is free again when its owner ends.
---
---Workflows: refused.
---@param name string
---@param pid? string
---@param scope? integer
---@return true? ok
---@return Error? err
---
---```lua function activity
---process.registry.register("one") --> true
---process.registry.register("one") --> true
---process.registry.register("one", "{a@b|c}") --> nil, AlreadyExists
---```
function registry.register(name, pid, scope) end

---The PID of a name.
---
---Workflows: refused.
---@param name string
---@return string? pid
---@return Error? err
---
---```lua function activity
---process.registry.register("two")
---process.registry.lookup("two") == process.pid() --> true
---process.registry.lookup("three") --> nil, NotFound
---```
function registry.lookup(name) end

---Take a name away; whether it was there.
---
---Workflows: refused.
---@param name string
---@param scope? integer
---@return boolean ok
---
---```lua function activity
---process.registry.register("four")
---process.registry.unregister("four") --> true
---process.registry.unregister("four") --> false
---```
function registry.unregister(name, scope) end
