---@meta

---Events between the functions and processes of one OS process. Nothing is stored: who is not there
---does not hear, and what a subscriber does not read beyond 64 events is lost. Between machines
---`process.send` delivers.
---@class events
local events = {}

---Hear the events of a system, and of a kind if one is given. In both, `*` stands for any text without
---a dot, `**` for any text, `(a|b)` for one or the other.
---
---Workflows: forbidden.
---@param system string
---@param kind? string
---@return events.Subscription? subscription
---@return Error? err
---
---```lua
---local sub = events.subscribe("shop.*", "(paid|sent)")
---events.send("shop.orders", "seen", "/7")
---events.send("shop.orders", "paid", "/7")
---sub:channel():receive().kind --> "paid"
---sub:close() --> true
---events.subscribe("") --> nil, Invalid
---events.subscribe("shop", 7) --> nil, Invalid
---```
function events.subscribe(system, kind) end

---Send an event to all who hear it now.
---
---Workflows: forbidden.
---@param system string
---@param kind string
---@param path string
---@param data? any
---@return true? ok
---@return Error? err
---
---```lua
---events.send("shop", "paid", "/orders/7", {total = 5}) --> true
---events.send("shop", "paid") --> nil, Invalid
---events.send("shop", "", "/orders/7") --> nil, Invalid
---```
function events.send(system, kind, path, data) end

---Events that this code hears.
---@class events.Subscription
local Subscription = {}

---The channel of the events: tables of system, kind, path, data.
---
---Workflows: forbidden.
---@return Channel channel
---
---```lua
---local me = process.pid()
---local sub = events.subscribe(me)
---events.send(me, "paid", "/orders/7", {total = 5})
---sub:channel():receive() --> {system = me, kind = "paid", path = "/orders/7", data = {total = 5}}
---```
function Subscription:channel() end

---The same channel.
---
---Workflows: forbidden.
---@return Channel channel
---
---```lua
---local sub = events.subscribe("shop")
---sub:response() == sub:channel() --> true
---```
function Subscription:response() end

---Hear no more; the channel closes.
---
---Workflows: forbidden.
---@return true ok
---
---```lua
---local sub = events.subscribe(process.pid())
---sub:close() --> true
---sub:channel():receive() --> nil, false
---sub:close() --> true
---```
function Subscription:close() end

return events
