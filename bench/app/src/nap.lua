-- How many milliseconds later than asked a durable sleep of one second ends, as activities see it.
local funcs = require("funcs")
local time = require("time")

local function main()
    local before = funcs.call("bench:clock")
    time.sleep("1s")
    return funcs.call("bench:clock") - before - 1000
end

return { main = main }
