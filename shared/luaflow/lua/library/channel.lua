---@meta

---Channels between the coroutines of one run: first in, first out. `channel` is always there.
---@class channel
channel = {}

---A channel that holds `size` values before a sender waits (0: until somebody receives).
---
---Workflows: local.
---@param size? integer
---@return Channel channel
---
---```lua
---local ch = channel.new(2)
---ch:send("a") --> true
---ch:receive() --> "a", true
---```
function channel.new(size) end

---Wait for the first of several cases that is ready, in the order of the list; with
---`default = true` do not wait. An empty list without default never ends.
---
---Workflows: local.
---@param cases table
---@param default? boolean
---@return {channel: Channel?, value: any, ok: boolean, default: boolean?} chosen
---
---```lua
---local a, b = channel.new(1), channel.new(1)
---b:send(7)
---channel.select({a:case_receive(), b:case_receive()}).value --> 7
---channel.select({a:case_receive(), default = true}).default --> true
---channel.select({a:case_receive()}, true).default --> true
---a:close()
---channel.select({a:case_receive()}).ok --> false
---```
function channel.select(cases, default) end

---A queue between coroutines. It cannot leave its run.
---@class Channel
local Channel = {}

---Put a value in; waits while the channel is full. Raises when it is closed.
---
---Workflows: local.
---@param value any
---@return true
---
---```lua
---local ch = channel.new(1)
---ch:send(nil) --> true
---ch:close()
---ch:send(1) --> raises "send on closed channel"
---```
function Channel:send(value) end

---Take the next value; waits while there is none. A closed and empty channel gives nil, false.
---
---Workflows: local.
---@return any value
---@return boolean ok
---
---```lua
---local ch = channel.new(1)
---ch:send("x")
---ch:close()
---ch:receive() --> "x", true
---ch:receive() --> nil, false
---```
function Channel:receive() end

---Close the channel: what it holds can still be received. Closing twice does nothing.
---
---Workflows: local.
---
---```lua
---local ch = channel.new()
---ch:close()
---select("#", ch:close()) >= 0 --> true
---ch:receive() --> nil, false
---```
function Channel:close() end

---A case of `channel.select`: receive from this channel.
---
---Workflows: local.
---@return table case
---
---```lua
---local ch = channel.new(1)
---ch:send(3)
---local got = channel.select({ch:case_receive()})
---got.channel == ch, got.value --> true, 3
---```
function Channel:case_receive() end

---A case of `channel.select`: send this value.
---
---Workflows: local.
---@param value any
---@return table case
---
---```lua
---local ch = channel.new(1)
---channel.select({ch:case_send("v")}).ok --> true
---ch:receive() --> "v", true
---```
function Channel:case_send(value) end
