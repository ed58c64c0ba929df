local funcs = require("funcs")
local time = require("time")

-- Calls an activity so many times, then waits for a day.
local function main(activity, times)
    for _ = 1, times do
        funcs.call(activity)
    end
    time.sleep("24h")
end

return { main = main }
