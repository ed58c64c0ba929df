-- One stop of a journey, a child workflow: an activity and a nap.
local funcs = require("funcs")
local time = require("time")

local function main(leg)
    local value, err = funcs.call("app:double", leg)
    if err then
        return nil, err
    end
    time.sleep("20ms")
    return value
end

return { main = main }
