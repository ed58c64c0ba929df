-- Returns what it was given, after a moment: its parent has heard of its beginning by then.
local time = require("time")

local function main(value)
    time.sleep("100ms")
    return value
end

return { main = main }
