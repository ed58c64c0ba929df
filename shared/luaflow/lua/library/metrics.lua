---@meta

---Numbers for Prometheus. Each process reports its own as `luaflow_app_<name>`; a metric keeps its kind
---and the names of its labels.
---@class metrics
local metrics = {}

---Add 1 to a counter.
---
---Workflows: forbidden.
---@param name string
---@param labels? table
---@return true? ok
---@return Error? err
---
---```lua
---metrics.counter_inc("orders", {kind = "new"}) --> true
---metrics.counter_inc("no name") --> nil, Invalid
---```
function metrics.counter_inc(name, labels) end

---Add to a counter, which never goes down.
---
---Workflows: forbidden.
---@param name string
---@param value number
---@param labels? table
---@return true? ok
---@return Error? err
---
---```lua
---metrics.counter_add("orders_seen", 2.5, {kind = "new"}) --> true
---metrics.counter_add("orders_seen", -1, {kind = "new"}) --> nil, Invalid
---```
function metrics.counter_add(name, value, labels) end

---Set a gauge.
---
---Workflows: forbidden.
---@param name string
---@param value number
---@param labels? table
---@return true? ok
---@return Error? err
---
---```lua
---metrics.gauge_set("open_set", 2.5) --> true
---metrics.gauge_set("open_set", "many") --> nil, Invalid
---```
function metrics.gauge_set(name, value, labels) end

---Add 1 to a gauge.
---
---Workflows: forbidden.
---@param name string
---@param labels? table
---@return true? ok
---@return Error? err
---
---```lua
---metrics.gauge_inc("open_inc") --> true
---metrics.gauge_inc("no name") --> nil, Invalid
---```
function metrics.gauge_inc(name, labels) end

---Take 1 from a gauge.
---
---Workflows: forbidden.
---@param name string
---@param labels? table
---@return true? ok
---@return Error? err
---
---```lua
---metrics.gauge_dec("open_dec") --> true
---metrics.gauge_dec("no name") --> nil, Invalid
---```
function metrics.gauge_dec(name, labels) end

---Observe a value.
---
---Workflows: forbidden.
---@param name string
---@param value number
---@param labels? table
---@return true? ok
---@return Error? err
---
---```lua
---metrics.histogram("seconds", 2.5) --> true
---metrics.histogram("seconds", "long") --> nil, Invalid
---```
function metrics.histogram(name, value, labels) end

return metrics
