-- Sleeps for the milliseconds it is given, one after the other.
local time = require("time")

local function main(naps)
    for _, ms in ipairs(naps) do
        time.sleep(ms .. "ms")
    end
    return #naps
end

return { main = main }
