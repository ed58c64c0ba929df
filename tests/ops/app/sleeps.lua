local time = require("time")

local function main()
    time.sleep("1h")
end

return { main = main }
