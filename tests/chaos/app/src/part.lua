-- The child of a job: a sleep and an activity.
local funcs = require("funcs")
local time = require("time")

local function main(name)
    time.sleep("10ms")
    local _, err = funcs.call("app:work", name)
    if err then
        return nil, err
    end
    return name
end

return { main = main }
