---@meta

---What functions and handlers are promised.
---@class handlers
local handlers = {}

---Requests and responses.
---
---Workflows: pure.
---
---```lua handler
---local r = http.request()
---select("#", r:method()), select("#", r:query("x")), select("#", r:body()) --> 2, 2, 2
---r:header("X-TENANT"), r:header("Accept") --> "acme", "application/json"
---r:accepts("application/*"), r:is_content_type("application/json") --> false, true
---http.response():set_status(99):kind() --> "Invalid"
---http.response():set_status(404) --> nil
---http.response():set_header("X-A", true) --> nil
---http.response():status(500):json({a = 1}) == http.response() --> true
---http.request({timeout = 100, max_body = 1000}):body_json().total --> 5
---process.spawn("app:nested", "app:worker", 1) --> like "^{"
---process.exec("app:nested", "app:worker", 1) --> 1
---json.encode({}) --> "[]"
---funcs.call("app:echo", 1) --> 1
---```
---```lua handler
---http.response():set_transfer("sse") --> nil
---http.response():write_event({data = "x"}) --> nil
---http.response():write_event({name = "a\nb", data = "x"}):kind() --> "Invalid"
---```
function handlers.http() end

---Modules that only functions have.
---
---Workflows: pure.
---
---```lua function activity
---http.request() --> nil, Internal
---local r, err = http_client.get("http://127.0.0.1:1/")
---err:kind(), err:retryable() --> "Internal", true
---http_client.get("ftp://x/") --> nil, Invalid
---http_client.get("https://api.example.com/x", {timeout = 20.5}).status_code --> 200
---http_client.get("https://api.example.com/x", {timeout = "20s"}).status_code --> 200
---http_client.get("https://api.example.com/x", {timeout = require("time").parse_duration("20s")}).status_code --> 200
---http_client.get("https://api.example.com/long", {max_response_body = 10}) --> nil, Internal
---http_client.get("https://api.example.com/x", {cookies = {a = "b"}, form = {a = {"1", "2"}}}).status_code --> 200
---http_client.get("https://api.example.com/x", {files = {{name = "f", content = "x", filename = "f.txt"}}}).status_code --> 200
---http_client.get("https://api.example.com/x").stream --> nil
---http_client.head("https://api.example.com/x").cookies --> {}
---#http_client.request_batch({}) --> 0
---http_client.request_batch({}) --> {}, nil
---env.set("", "x") --> nil, Invalid
---env.get(nil) --> nil, Invalid
---registry.get("app:worker").data.task_queue --> "q"
---registry.find({kind = "process.host"}) ~= nil --> true
---registry.find({[".kind"] = "process.host"})[1].id --> "app:host"
---registry.find({["*meta.type"] = "ric", ["$meta.type"] = "e"})[1].id --> "app:price"
---metrics.counter_inc("m") --> true
---metrics.counter_inc("m", {a = 1}) --> nil, Invalid
---metrics.gauge_set("m", 1) --> nil, Invalid
---metrics.histogram("h", 1, {a = 1}) --> true
---metrics.histogram("h2", "1") --> nil, Invalid
---```
function handlers.functions() end

---What only activities know.
---
---Workflows: pure.
---
---```lua activity
---activity.heartbeat() --> true
---activity.info().activity --> like "^app:"
---activity.info().idempotency_key ~= nil --> true
---activity.complete(7, 1) --> nil, Invalid
---```
function handlers.activities() end

return handlers
