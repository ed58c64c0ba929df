-- The wall clock of the worker, in milliseconds.
local time = require("time")

local function main()
    return time.now():unix_nano() / 1000000
end

return { main = main }
