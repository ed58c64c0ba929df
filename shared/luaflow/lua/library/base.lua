---@meta

---The values, or an error with the message when the first is false.
---
---Workflows: pure.
---@param value any
---@param ... any
---@return any ...
---
---```lua
---assert(1, "no") --> 1, "no"
---assert(false, "no") --> raises "no"
---```
function assert(value, ...) end

---Raise a value. An error object stays what it is on its way through `pcall`.
---
---Workflows: pure.
---@param value any
---@param level? integer
---
---```lua
---error("no") --> raises "no"
---select(2, pcall(error, errors.new{message = "x", kind = "Busy"})):kind() --> "Busy"
---```
function error(value, level) end

---The metatable of a table, or what its `__metatable` says.
---
---Workflows: pure.
---@param value any
---@return any metatable
---
---```lua
---getmetatable({}) --> nil
---getmetatable("") --> false
---```
function getmetatable(value) end

---Set the metatable of a table. Weak tables and `__gc` are refused: what they do differs from run to run.
---
---Workflows: pure.
---@param t table
---@param metatable table?
---@return table t
---
---```lua
---getmetatable(setmetatable({}, {__metatable = "locked"})) --> "locked"
---setmetatable({}, {__mode = "k"}) --> raises "weak"
---```
function setmetatable(t, metatable) end

---An iterator over 1, 2, 3 … to the first nil.
---
---Workflows: pure.
---@param t table
---@return function iterator
---@return table t
---@return integer zero
---
---```lua
---local n = 0
---for i, v in ipairs({4, 5, nil, 6}) do n = n + i * v end
---n --> 14
---```
function ipairs(t) end

---An iterator over all entries, in the same order on every machine: the array part, numbers, texts by their bytes, false, true.
---
---Workflows: pure.
---@param t table
---@return function iterator
---@return table t
---@return nil
---
---```lua
---local seen = ""
---for k in pairs({b = 1, a = 2, [1] = 0}) do seen = seen .. tostring(k) end
---seen --> "1ab"
---```
function pairs(t) end

---The entry after a key, in the order of `pairs`; nil after the last.
---
---Workflows: pure.
---@param t table
---@param key? any
---@return any key
---@return any value
---
---```lua
---next({7}) --> 1, 7
---next({}) --> nil
---```
function next(t, key) end

---Call a function: true and its results, or false and what it raised. It may wait.
---
---Workflows: pure.
---@param f function
---@param ... any
---@return boolean ok
---@return any ...
---
---```lua
---pcall(function() return 1, 2 end) --> true, 1, 2
---pcall(error, "no") --> false, "no"
---```
function pcall(f, ...) end

---The same, with a function that is given what was raised.
---
---Workflows: pure.
---@param f function
---@param handler function
---@param ... any
---@return boolean ok
---@return any ...
---
---```lua
---xpcall(error, function(e) return e .. "!" end, "no") --> false, "no!"
---```
function xpcall(f, handler, ...) end

---Write a line to the log: the values, joined by spaces. Silent in replay.
---
---Workflows: pure.
---@param ... any
---
---```lua
---print("charged", 5) --> nil
---```
function print(...) end

---Whether two values are the same, whatever their metatables say.
---
---Workflows: pure.
---@param a any
---@param b any
---@return boolean
---
---```lua
---rawequal(1, 1) --> true
---rawequal({}, {}) --> false
---```
function rawequal(a, b) end

---The value of a key, whatever the metatable says.
---
---Workflows: pure.
---@param t table
---@param key any
---@return any value
---
---```lua
---rawget(setmetatable({}, {__index = function() return 1 end}), "x") --> nil
---```
function rawget(t, key) end

---Set a key, whatever the metatable says.
---
---Workflows: pure.
---@param t table
---@param key any
---@param value any
---@return table t
---
---```lua
---rawset({}, "x", 1) --> {x = 1}
---```
function rawset(t, key, value) end

---The arguments from the n-th on, or their number for '#'.
---
---Workflows: pure.
---@param n integer|'#'
---@param ... any
---@return any ...
---
---```lua
---select("#", 1, nil) --> 2
---select(2, "a", "b") --> "b"
---```
function select(n, ...) end

---A number, or nil.
---
---Workflows: pure.
---@param value any
---@param base? integer
---@return number?
---
---```lua
---tonumber("10") --> 10
---tonumber("ff", 16) --> 255
---tonumber("x") --> nil
---```
function tonumber(value, base) end

---A text. It never shows an address.
---
---Workflows: pure.
---@param value any
---@return string
---
---```lua
---tostring(1.0) --> "1.0"
---tostring(nil) --> "nil"
---```
function tostring(value) end

---The type of a value.
---
---Workflows: pure.
---@param value any
---@return string
---
---```lua
---type({}) --> "table"
---type(nil) --> "nil"
---```
function type(value) end

---The values of a list; the same as `table.unpack`.
---
---Workflows: pure.
---@param t table
---@param from? integer
---@param to? integer
---@return any ...
---
---```lua
---unpack({1, 2}) --> 1, 2
---```
function unpack(t, from, to) end

---A module, or a library by the alias under which the entry imports it.
---
---Workflows: pure.
---@param name string
---@return any module
---
---```lua
---require("channel") == channel --> true
---require("nothing of this name") --> raises "not found"
---```
function require(name) end

---Let messages of a topic come to a channel of one's own.
---
---Workflows: local.
---@param topic string
---@param ch Channel
---@return true
---
---```lua
---local ch = channel.new(1)
---subscribe("orders", ch) --> true
---unsubscribe(ch) --> true
---```
function subscribe(topic, ch) end

---The end of `subscribe`.
---
---Workflows: local.
---@param ch Channel
---@return true
---
---```lua
---local ch = channel.new(1)
---subscribe("orders", ch)
---unsubscribe(ch) --> true
---```
function unsubscribe(ch) end

---The value as true or false: what a type annotation calls like a function.
---
---Workflows: pure.
---@param value any
---@return boolean
---
---```lua
---boolean(nil) --> false
---boolean(0) --> true
---```
function boolean(value) end

---The value as a whole number.
---
---Workflows: pure.
---@param value any
---@return integer?
---
---```lua
---integer("7") --> 7
---```
function integer(value) end

---The value as a number.
---
---Workflows: pure.
---@param value any
---@return number?
---
---```lua
---number("1.5") --> 1.5
---```
function number(value) end

---The name of this Lua.
---@type string
_VERSION = "Lua 5.4"
