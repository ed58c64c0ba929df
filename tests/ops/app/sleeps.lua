local time = require("time")

local function main(duration)
    time.sleep(duration or "1h")
end

return { main = main }
