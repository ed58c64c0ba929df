---@meta

---Numbers.
---@class math
---@field pi number `3.1415926535898`
---@field huge number `inf`
---@field maxinteger integer `9223372036854775807`
---@field mininteger integer `-9223372036854775808`
math = {}

---The value without its sign.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.abs(-2) --> 2
---```
function math.abs(x) end

---The next whole number.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.ceil(1.2) --> 2
---```
function math.ceil(x) end

---The whole number before.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.floor(1.8) --> 1
---```
function math.floor(x) end

---The square root.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.sqrt(9) --> 3.0
---```
function math.sqrt(x) end

---e to this power.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.exp(0) --> 1.0
---```
function math.exp(x) end

---The logarithm to the base 10.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.log10(1000) > 2.99 --> true
---```
function math.log10(x) end

---The sin of an angle in radians.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.sin(0) --> 0.0
---```
function math.sin(x) end

---The cos of an angle in radians.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.cos(0) --> 1.0
---```
function math.cos(x) end

---The tan of an angle in radians.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.tan(0) --> 0.0
---```
function math.tan(x) end

---The asin of a number.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.asin(0) --> 0.0
---```
function math.asin(x) end

---The acos of a number.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.acos(1) --> 0.0
---```
function math.acos(x) end

---The sinh of a number.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.sinh(0) --> 0.0
---```
function math.sinh(x) end

---The cosh of a number.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.cosh(0) --> 1.0
---```
function math.cosh(x) end

---The tanh of a number.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.tanh(0) --> 0.0
---```
function math.tanh(x) end

---Radians as degrees.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.deg(math.pi) --> 180.0
---```
function math.deg(x) end

---Degrees as radians.
---
---Workflows: pure.
---@param x number
---@return number
---
---```lua
---math.rad(180) == math.pi --> true
---```
function math.rad(x) end

---The angle whose tangent is y / x.
---
---Workflows: pure.
---@param y number
---@param x? number
---@return number
---
---```lua
---math.atan(0) --> 0.0
---```
function math.atan(y, x) end

---The same.
---
---Workflows: pure.
---@param y number
---@param x number
---@return number
---
---```lua
---math.atan2(0, 1) --> 0.0
---```
function math.atan2(y, x) end

---The rest of a division, with the sign of the first.
---
---Workflows: pure.
---@param a number
---@param b number
---@return number
---
---```lua
---math.fmod(-5, 3) --> -2
---```
function math.fmod(a, b) end

---The logarithm, natural or to a base.
---
---Workflows: pure.
---@param x number
---@param base? number
---@return number
---
---```lua
---math.log(8, 2) --> 3.0
---```
function math.log(x, base) end

---The largest.
---
---Workflows: pure.
---@param x number
---@param ... number
---@return number
---
---```lua
---math.max(1, 3, 2) --> 3
---```
function math.max(x, ...) end

---The smallest.
---
---Workflows: pure.
---@param x number
---@param ... number
---@return number
---
---```lua
---math.min(2, 1) --> 1
---```
function math.min(x, ...) end

---The whole part and the rest.
---
---Workflows: pure.
---@param x number
---@return number whole
---@return number rest
---
---```lua
---math.modf(2.5) --> 2, 0.5
---```
function math.modf(x) end

---x to the power y.
---
---Workflows: pure.
---@param x number
---@param y number
---@return number
---
---```lua
---math.pow(2, 3) --> 8.0
---```
function math.pow(x, y) end

---A number from 0 to 1, or a whole one of a range. In a workflow it depends on the run id alone.
---
---Workflows: pure.
---@param m? integer
---@param n? integer
---@return number
---
---```lua
---math.random(3, 3) --> 3
---math.random() < 1 --> true
---```
function math.random(m, n) end

---Seed `math.random` anew.
---
---Workflows: pure.
---@param seed? integer
---
---```lua
---math.randomseed(7)
---local a = math.random(1000)
---math.randomseed(7)
---math.random(1000) == a --> true
---```
function math.randomseed(seed) end

---A whole number as an integer, or nil.
---
---Workflows: pure.
---@param x any
---@return integer?
---
---```lua
---math.tointeger(3.0) --> 3
---math.tointeger(3.5) --> nil
---```
function math.tointeger(x) end

---"integer", "float" or nil.
---
---Workflows: pure.
---@param x any
---@return string?
---
---```lua
---math.type(3) --> "integer"
---math.type(3.0) --> "float"
---math.type("3") --> nil
---```
function math.type(x) end

---Whether a is below b, both without a sign.
---
---Workflows: pure.
---@param a integer
---@param b integer
---@return boolean
---
---```lua
---math.ult(1, -1) --> true
---```
function math.ult(a, b) end

---A number as m and e, with x = m * 2^e and m from 0.5 to 1.
---
---Workflows: pure.
---@param x number
---@return number m
---@return integer e
---
---```lua
---math.frexp(8) --> 0.5, 4
---```
function math.frexp(x) end

---m * 2^e.
---
---Workflows: pure.
---@param m number
---@param e integer
---@return number
---
---```lua
---math.ldexp(0.5, 4) --> 8.0
---```
function math.ldexp(m, e) end
