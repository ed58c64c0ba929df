---@meta

---Moments, durations, zones, timers. In workflows `now` is the time of the largest event seen, and
---timers are durable: they survive every crash, and fire once.
---
---A duration is a whole number of **nanoseconds**, a text such as "1h30m" or "250ms", or a
---Duration.
---@class time
---@field NANOSECOND integer `1`
---@field MICROSECOND integer `1000`
---@field MILLISECOND integer `1000000`
---@field SECOND integer `1000000000`
---@field MINUTE integer `60000000000`
---@field HOUR integer `3600000000000`
---@field RFC3339 string `2006-01-02T15:04:05Z07:00`
---@field RFC3339NANO string `2006-01-02T15:04:05.999999999Z07:00`
---@field RFC822 string `02 Jan 06 15:04 MST`
---@field RFC822Z string `02 Jan 06 15:04 -0700`
---@field RFC850 string `Monday, 02-Jan-06 15:04:05 MST`
---@field RFC1123 string `Mon, 02 Jan 2006 15:04:05 MST`
---@field RFC1123Z string `Mon, 02 Jan 2006 15:04:05 -0700`
---@field KITCHEN string `3:04PM`
---@field STAMP string `Jan _2 15:04:05`
---@field STAMP_MILLI string `Jan _2 15:04:05.000`
---@field STAMP_MICRO string `Jan _2 15:04:05.000000`
---@field STAMP_NANO string `Jan _2 15:04:05.000000000`
---@field DATE_TIME string `2006-01-02 15:04:05`
---@field DATE_ONLY string `2006-01-02`
---@field TIME_ONLY string `15:04:05`
---@field JANUARY integer `1`
---@field FEBRUARY integer `2`
---@field MARCH integer `3`
---@field APRIL integer `4`
---@field MAY integer `5`
---@field JUNE integer `6`
---@field JULY integer `7`
---@field AUGUST integer `8`
---@field SEPTEMBER integer `9`
---@field OCTOBER integer `10`
---@field NOVEMBER integer `11`
---@field DECEMBER integer `12`
---@field SUNDAY integer `0`
---@field MONDAY integer `1`
---@field TUESDAY integer `2`
---@field WEDNESDAY integer `3`
---@field THURSDAY integer `4`
---@field FRIDAY integer `5`
---@field SATURDAY integer `6`
---@field utc time.Location The zone UTC.
---@field localtz time.Location The zone of luaflow's processes: UTC everywhere.
local time = {}

---The present moment; within an activation it stands still.
---
---Workflows: pure.
---@return time.Time now
---
---```lua
---local time = require("time")
---time.now():unix() > 1700000000 --> true
---```
function time.now() end

---Wait. In a workflow the timer is durable; nothing and less returns at once.
---
---Workflows: recorded.
---@param duration integer|string|time.Duration
---@return nil
---@return Error? err
---
---```lua
---local time = require("time")
---time.sleep("1ms") --> nil
---time.sleep(0) --> nil
---time.sleep("soon") --> nil, Invalid
---```
function time.sleep(duration) end

---A channel on which the moment comes when the time is over; then it closes.
---
---Workflows: recorded.
---@param duration integer|string|time.Duration
---@return Channel? channel
---@return Error? err
---
---```lua
---local time = require("time")
---time.after("1ms"):receive():unix() > 0 --> true
---time.after(0) --> nil, Invalid
---```
function time.after(duration) end

---A timer that can be stopped and set anew.
---
---Workflows: recorded.
---@param duration integer|string|time.Duration
---@return time.Timer? timer
---@return Error? err
---
---```lua
---local time = require("time")
---time.timer("1h"):stop() --> true
---time.timer(-1) --> nil, Invalid
---```
function time.timer(duration) end

---A channel on which the moment comes again and again. It holds 16; those that find it full are
---dropped.
---
---Workflows: recorded.
---@param duration integer|string|time.Duration
---@return time.Ticker? ticker
---@return Error? err
---
---```lua
---local time = require("time")
---local ticker = time.ticker("1ms")
---ticker:channel():receive():unix() > 0 --> true
---ticker:stop() --> true
---time.ticker(0) --> nil, Invalid
---```
function time.ticker(duration) end

---The moment of a date and clock in a zone (`time.localtz` by default).
---
---Workflows: pure.
---@param year integer
---@param month integer
---@param day integer
---@param hour? integer
---@param minute? integer
---@param second? integer
---@param nanosecond? integer
---@param location? time.Location
---@return time.Time moment
---
---```lua
---local time = require("time")
---time.date(2026, time.JANUARY, 2, 3, 4, 5, 0, time.utc):format_rfc3339() --> "2026-01-02T03:04:05Z"
---```
function time.date(year, month, day, hour, minute, second, nanosecond, location) end

---The moment of seconds and nanoseconds since 1970.
---
---Workflows: pure.
---@param seconds integer
---@param nanoseconds? integer
---@return time.Time moment
---
---```lua
---local time = require("time")
---time.unix(1, 500):unix_nano() --> 1000000500
---```
function time.unix(seconds, nanoseconds) end

---Read a moment by a layout (`time.RFC3339` and the others).
---
---Workflows: pure.
---@param layout string
---@param text string
---@param location? time.Location
---@return time.Time? moment
---@return Error? err
---
---```lua
---local time = require("time")
---time.parse(time.DATE_ONLY, "2026-01-02"):unix() --> 1767312000
---time.parse(time.DATE_ONLY, "tomorrow") --> nil, Invalid
---```
function time.parse(layout, text, location) end

---Read a duration.
---
---Workflows: pure.
---@param value integer|string|time.Duration
---@return time.Duration? duration
---@return Error? err
---
---```lua
---local time = require("time")
---time.parse_duration("1h30m"):minutes() --> 90.0
---tostring(time.parse_duration("90m")) --> "1h30m0s"
---time.parse_duration("long") --> nil, Invalid
---```
function time.parse_duration(value) end

---A zone by its IANA name.
---
---Workflows: pure.
---@param name string
---@return time.Location? location
---@return Error? err
---
---```lua
---local time = require("time")
---time.load_location("UTC"):string() --> "UTC"
---time.load_location("Nowhere/City") --> nil, NotFound
---time.load_location("") --> nil, Invalid
---```
function time.load_location(name) end

---A zone that is always so many seconds east of UTC.
---
---Workflows: pure.
---@param name string
---@param offset integer
---@return time.Location location
---
---```lua
---local time = require("time")
---time.unix(0):in_location(time.fixed_zone("X", 3600)):format_rfc3339() --> "1970-01-01T01:00:00+01:00"
---```
function time.fixed_zone(name, offset) end

---A timer under way.
---@class time.Timer
local Timer = {}

---The channel on which the moment comes.
---
---Workflows: local.
---@return Channel channel
---
---```lua
---local time = require("time")
---time.timer("1ms"):response():receive():unix() > 0 --> true
---```
function Timer:response() end

---The same channel as `response`.
---
---Workflows: local.
---@return Channel channel
---
---```lua
---local time = require("time")
---local timer = time.timer("1h")
---timer:channel() == timer:response() --> true
---timer:stop()
---```
function Timer:channel() end

---Stop the timer and close its channel; whether it was still running.
---
---Workflows: recorded.
---@return boolean active
---
---```lua
---local time = require("time")
---local timer = time.timer("1h")
---timer:stop() --> true
---timer:stop() --> false
---```
function Timer:stop() end

---Let the timer run anew for this long; whether it was still running.
---
---Workflows: recorded.
---@param duration integer|string|time.Duration
---@return boolean active
---
---```lua
---local time = require("time")
---local timer = time.timer("1h")
---timer:reset("1ms") --> true
---timer:response():receive():unix() > 0 --> true
---timer:reset("soon") --> raises "duration"
---```
function Timer:reset(duration) end

---A timer that fires again and again.
---@class time.Ticker
local Ticker = {}

---The channel on which the moments come.
---
---Workflows: local.
---@return Channel channel
---
---```lua
---local time = require("time")
---local ticker = time.ticker("1ms")
---ticker:response():receive():unix() > 0 --> true
---ticker:stop()
---```
function Ticker:response() end

---The same channel as `response`.
---
---Workflows: local.
---@return Channel channel
---
---```lua
---local time = require("time")
---local ticker = time.ticker("1h")
---ticker:channel() == ticker:response() --> true
---ticker:stop()
---```
function Ticker:channel() end

---Stop it and close its channel.
---
---Workflows: recorded.
---@return true
---
---```lua
---local time = require("time")
---time.ticker("1h"):stop() --> true
---```
function Ticker:stop() end

---A moment, to the nanosecond, in a zone. It crosses borders as its RFC 3339 text.
---@class time.Time
local Time = {}

---The moment that much later.
---
---Workflows: pure.
---@param duration integer|string|time.Duration
---@return time.Time moment
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("1h"):unix() --> 3600
---```
function Time:add(duration) end

---How long after another moment this one is.
---
---Workflows: pure.
---@param other time.Time
---@return time.Duration duration
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("90m"):sub(t):hours() --> 1.5
---```
function Time:sub(other) end

---The moment so many years, months and days later; days that a month has not run over.
---
---Workflows: pure.
---@param years integer
---@param months integer
---@param days integer
---@return time.Time moment
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add_date(1, 1, 1):format(time.DATE_ONLY) --> "1971-02-02"
---```
function Time:add_date(years, months, days) end

---Whether this moment is later.
---
---Workflows: pure.
---@param other time.Time
---@return boolean
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add(1):after(t) --> true
---t:after(t) --> false
---```
function Time:after(other) end

---Whether this moment is earlier.
---
---Workflows: pure.
---@param other time.Time
---@return boolean
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:before(t:add(1)) --> true
---```
function Time:before(other) end

---Whether it is the same moment, in whatever zone.
---
---Workflows: pure.
---@param other time.Time
---@return boolean
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:equal(t:in_location(time.fixed_zone("X", 60))) --> true
---t:equal(t:add(1)) --> false
---```
function Time:equal(other) end

---The moment as text, by a layout.
---
---Workflows: pure.
---@param layout string
---@return string text
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:format(time.DATE_TIME) --> "1970-01-01 00:00:00"
---t:format(time.KITCHEN) --> "12:00AM"
---```
function Time:format(layout) end

---The moment as RFC 3339 says.
---
---Workflows: pure.
---@return string text
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:format_rfc3339() --> "1970-01-01T00:00:00Z"
---```
function Time:format_rfc3339() end

---Whole seconds since 1970.
---
---Workflows: pure.
---@return integer seconds
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("1500ms"):unix() --> 1
---```
function Time:unix() end

---Nanoseconds since 1970.
---
---Workflows: pure.
---@return integer nanoseconds
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("1500ms"):unix_nano() --> 1500000000
---```
function Time:unix_nano() end

---Year, month, day.
---
---Workflows: pure.
---@return integer year
---@return integer month
---@return integer day
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:date() --> 1970, 1, 1
---```
function Time:date() end

---Hour, minute, second.
---
---Workflows: pure.
---@return integer hour
---@return integer minute
---@return integer second
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("1h2m3s"):clock() --> 1, 2, 3
---```
function Time:clock() end

---The year.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:year() --> 1970
---```
function Time:year() end

---The month, from 1.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:month() == time.JANUARY --> true
---```
function Time:month() end

---The day of the month.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:day() --> 1
---```
function Time:day() end

---The hour.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("5h"):hour() --> 5
---```
function Time:hour() end

---The minute.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("5m"):minute() --> 5
---```
function Time:minute() end

---The second.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("5s"):second() --> 5
---```
function Time:second() end

---The part of a second, in nanoseconds.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add(5):nanosecond() --> 5
---```
function Time:nanosecond() end

---The day of the week, Sunday is 0.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:weekday() == time.THURSDAY --> true
---```
function Time:weekday() end

---The day of the year, from 1.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:year_day() --> 1
---```
function Time:year_day() end

---Whether it is the first moment of the year 1.
---
---Workflows: pure.
---@return boolean
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:is_zero() --> false
---time.date(1, 1, 1, 0, 0, 0, 0, time.utc):is_zero() --> true
---```
function Time:is_zero() end

---The same moment in a zone.
---
---Workflows: pure.
---@param location time.Location
---@return time.Time moment
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:in_location(time.fixed_zone("X", 7200)):hour() --> 2
---```
function Time:in_location(location) end

---Its zone.
---
---Workflows: pure.
---@return time.Location location
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:location():string() --> "UTC"
---```
function Time:location() end

---The same moment in UTC.
---
---Workflows: pure.
---@return time.Time moment
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:in_location(time.fixed_zone("X", 7200)):utc():hour() --> 0
---```
function Time:utc() end

---The same moment in `time.localtz`.
---
---Workflows: pure.
---@return time.Time moment
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:in_local():unix() --> 0
---```
function Time:in_local() end

---The nearest multiple of a duration since the year 1.
---
---Workflows: pure.
---@param duration time.Duration
---@return time.Time moment
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("40m"):round(time.parse_duration("1h")):hour() --> 1
---```
function Time:round(duration) end

---The last multiple of a duration since the year 1.
---
---Workflows: pure.
---@param duration time.Duration
---@return time.Time moment
---
---```lua
---local time = require("time")
---local t = time.unix(0):utc()
---t:add("40m"):truncate(time.parse_duration("1h")):hour() --> 0
---```
function Time:truncate(duration) end

---A length of time, in nanoseconds. It crosses borders as its text, such as "1h30m0s".
---@class time.Duration
local Duration = {}

---In nanoseconds.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local d = time.parse_duration("1h30m")
---d:nanoseconds() --> 5400000000000
---```
function Duration:nanoseconds() end

---In whole microseconds.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local d = time.parse_duration("1h30m")
---d:microseconds() --> 5400000000
---```
function Duration:microseconds() end

---In whole milliseconds.
---
---Workflows: pure.
---@return integer
---
---```lua
---local time = require("time")
---local d = time.parse_duration("1h30m")
---d:milliseconds() --> 5400000
---```
function Duration:milliseconds() end

---In seconds.
---
---Workflows: pure.
---@return number
---
---```lua
---local time = require("time")
---local d = time.parse_duration("1h30m")
---d:seconds() --> 5400.0
---```
function Duration:seconds() end

---In minutes.
---
---Workflows: pure.
---@return number
---
---```lua
---local time = require("time")
---local d = time.parse_duration("1h30m")
---d:minutes() --> 90.0
---```
function Duration:minutes() end

---In hours.
---
---Workflows: pure.
---@return number
---
---```lua
---local time = require("time")
---local d = time.parse_duration("1h30m")
---d:hours() --> 1.5
---```
function Duration:hours() end

---A zone.
---@class time.Location
local Location = {}

---Its name.
---
---Workflows: pure.
---@return string name
---
---```lua
---local time = require("time")
---time.utc:string() --> "UTC"
---time.fixed_zone("X", 60):string() --> "X"
---```
function Location:string() end

return time
