local time = require("time")

local function main()
    time.sleep("60s")
end

return { main = main }
