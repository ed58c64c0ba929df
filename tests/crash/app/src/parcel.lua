-- A parcel: the child of a journey; a durable sleep and an activity.
local funcs = require("funcs")
local time = require("time")

local function main(name)
    time.sleep("50ms")
    local _, err = funcs.call("app:charge", name)
    if err then
        return nil, err
    end
    return name
end

return { main = main }
