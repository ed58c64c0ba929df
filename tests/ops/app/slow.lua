local time = require("time")

local function main()
    time.sleep("5s")
end

return { main = main }
