---@meta

---Texts: any bytes. Comparison and order are by bytes.
---@class string
string = {}

---The bytes at these places.
---
---Workflows: pure.
---@param s string
---@param i? integer
---@param j? integer
---@return integer ...
---
---```lua
---string.byte("AB", 1, 2) --> 65, 66
---```
function string.byte(s, i, j) end

---The text of these bytes.
---
---Workflows: pure.
---@param ... integer
---@return string
---
---```lua
---string.char(72, 105) --> "Hi"
---```
function string.char(...) end

---Where a pattern matches: begin, end, captures; nil for nowhere.
---
---Workflows: pure.
---@param s string
---@param pattern string
---@param init? integer
---@param plain? boolean
---@return integer? begin
---@return integer? end
---@return any ...
---
---```lua
---string.find("hello", "l+") --> 3, 4
---string.find("a.b", ".", 1, true) --> 2, 2
---string.find("a", "b") --> nil
---```
function string.find(s, pattern, init, plain) end

---Values written by a layout, as C's printf does. `%p` gives a serial number, not an address.
---
---Workflows: pure.
---@param layout string
---@param ... any
---@return string
---
---```lua
---string.format("%05.1f|%s|%d", 2.25, "x", 3) --> "002.2|x|3"
---string.format("%p", {}) --> like "^%d+$"
---```
function string.format(layout, ...) end

---An iterator over all matches.
---
---Workflows: pure.
---@param s string
---@param pattern string
---@return function iterator
---
---```lua
---local seen = {}
---for w in string.gmatch("a bc", "%a+") do seen[#seen + 1] = w end
---seen --> {"a", "bc"}
---```
function string.gmatch(s, pattern) end

---The text with matches replaced, and how many were.
---
---Workflows: pure.
---@param s string
---@param pattern string
---@param with string|table|function
---@param n? integer
---@return string text
---@return integer count
---
---```lua
---string.gsub("a-b", "%-", "+") --> "a+b", 1
---```
function string.gsub(s, pattern, with, n) end

---The number of bytes.
---
---Workflows: pure.
---@param s string
---@return integer
---
---```lua
---string.len("abc") --> 3
---```
function string.len(s) end

---The text with A to Z in lower case.
---
---Workflows: pure.
---@param s string
---@return string
---
---```lua
---string.lower("ABC") --> "abc"
---```
function string.lower(s) end

---The text with a to z in upper case.
---
---Workflows: pure.
---@param s string
---@return string
---
---```lua
---string.upper("abc") --> "ABC"
---```
function string.upper(s) end

---The captures of the first match, or the match; nil for none.
---
---Workflows: pure.
---@param s string
---@param pattern string
---@param init? integer
---@return any ...
---
---```lua
---string.match("key=7", "(%w+)=(%d)") --> "key", "7"
---```
function string.match(s, pattern, init) end

---The text n times. A result over the memory limit is refused.
---
---Workflows: pure.
---@param s string
---@param n integer
---@param separator? string
---@return string
---
---```lua
---string.rep("a", 3, ",") --> "a,a,a"
---```
function string.rep(s, n, separator) end

---The bytes backwards.
---
---Workflows: pure.
---@param s string
---@return string
---
---```lua
---string.reverse("abc") --> "cba"
---```
function string.reverse(s) end

---The bytes from i to j; negative ones count from the end.
---
---Workflows: pure.
---@param s string
---@param i integer
---@param j? integer
---@return string
---
---```lua
---string.sub("hello", 2, -2) --> "ell"
---```
function string.sub(s, i, j) end

---Values as bytes, by a layout: "<i4" is a little-endian integer of four bytes.
---
---Workflows: pure.
---@param layout string
---@param ... any
---@return string
---
---```lua
---string.pack("<I2", 258) --> "\2\1"
---string.pack("<i1", 300) --> raises "overflow"
---```
function string.pack(layout, ...) end

---The values that bytes hold by a layout, then the place behind them.
---
---Workflows: pure.
---@param layout string
---@param s string
---@param position? integer
---@return any ...
---
---```lua
---string.unpack("<I2", "\2\1") --> 258, 3
---string.unpack("<I2", "\2") --> raises "data string too short"
---```
function string.unpack(layout, s, position) end

---How many bytes a layout takes.
---
---Workflows: pure.
---@param layout string
---@return integer
---
---```lua
---string.packsize("<I2I4") --> 6
---```
function string.packsize(layout) end
