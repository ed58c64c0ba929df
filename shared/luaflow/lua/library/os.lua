---@meta

---Time in the shape of Lua's own functions. In workflows it is the workflow's time, so it is the
---same on every replay. What reaches programs, files or the environment is not there.
---@class os
---@field platform string `wippy`
os = {}

---Seconds since 1970, of now or of a table with year, month, day, hour, min, sec: what it leaves out
---is today, and midnight.
---
---Workflows: pure.
---@param at? table
---@return integer seconds
---
---```lua
---os.time({year = 2026, month = 1, day = 2, hour = 3}) --> 1767322800
---os.time() > 1700000000 --> true
---os.time({year = 2026, month = 1, day = 2}) --> 1767312000
---os.time({year = "x"}) --> raises "field 'year' is not an integer"
---```
function os.time(at) end

---A time as text, in the notation of C's strftime; "*t" gives a table. Always UTC.
---
---Workflows: pure.
---@param layout? string
---@param seconds? integer
---@return string|table text
---
---```lua
---os.date("%Y-%m-%d %H:%M:%S", 0) --> "1970-01-01 00:00:00"
---os.date("!%A", 0) --> "Thursday"
---os.date("*t", 0).year --> 1970
---os.date("%Q", 0) --> raises "invalid conversion"
---```
function os.date(layout, seconds) end

---Seconds since the code began.
---
---Workflows: pure.
---@return number seconds
---
---```lua
---os.clock() >= 0 --> true
---```
function os.clock() end

---Seconds from one time to another.
---
---Workflows: pure.
---@param later integer
---@param earlier integer
---@return number seconds
---
---```lua
---os.difftime(10, 4) --> 6.0
---```
function os.difftime(later, earlier) end
