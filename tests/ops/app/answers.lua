local http = require("http")
local time = require("time")

local function main()
    time.sleep("200ms")
    http.response():write("well")
end

return { main = main }
