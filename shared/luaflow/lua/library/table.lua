---@meta

---Lists.
---@class table
table = {}

---The texts and numbers of a list, joined.
---
---Workflows: pure.
---@param t table
---@param separator? string
---@param i? integer
---@param j? integer
---@return string
---
---```lua
---table.concat({1, "b"}, "-") --> "1-b"
---```
function table.concat(t, separator, i, j) end

---Put a value into a list, at the end or at a position.
---
---Workflows: pure.
---@param t table
---@param position any
---@param value? any
---
---```lua
---local t = {1, 3}
---table.insert(t, 2, 2)
---t --> {1, 2, 3}
---table.insert(t, 9, 0) --> raises "out of bounds"
---```
function table.insert(t, position, value) end

---Copy a stretch of a list.
---
---Workflows: pure.
---@param a table
---@param from integer
---@param to integer
---@param at integer
---@param b? table
---@return table
---
---```lua
---table.move({1, 2, 3}, 2, 3, 1) --> {2, 3, 3}
---```
function table.move(a, from, to, at, b) end

---A list of the arguments, with their number in `n`.
---
---Workflows: pure.
---@param ... any
---@return table
---
---```lua
---table.pack("a", nil).n --> 2
---```
function table.pack(...) end

---Take a value out of a list, at the end or at a position.
---
---Workflows: pure.
---@param t table
---@param position? integer
---@return any value
---
---```lua
---table.remove({1, 2, 3}) --> 3
---table.remove({1, 2, 3}, 1) --> 1
---```
function table.remove(t, position) end

---Sort a list in place; equal ones keep their order.
---
---Workflows: pure.
---@param t table
---@param before? function
---
---```lua
---local t = {3, 1, 2}
---table.sort(t, function(a, b) return a > b end)
---t --> {3, 2, 1}
---table.sort({1, "x"}) --> raises "compare"
---```
function table.sort(t, before) end

---The values of a list.
---
---Workflows: pure.
---@param t table
---@param from? integer
---@param to? integer
---@return any ...
---
---```lua
---table.unpack({1, 2, 3}, 2) --> 2, 3
---```
function table.unpack(t, from, to) end

---An empty table; the sizes are hints for other runtimes.
---
---Workflows: pure.
---@param sequence? integer
---@param others? integer
---@return table
---
---```lua
---table.create(10, 2) --> {}
---```
function table.create(sequence, others) end
