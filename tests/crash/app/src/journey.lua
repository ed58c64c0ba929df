-- A journey: an activity, a child in another partition, a durable sleep, signals until "stop" has come.
-- The result lists the numbers of the signals "item" as they were taken, and what the child said.
local funcs = require("funcs")
local time = require("time")

local function main(journey)
    local inbox = process.inbox()
    local _, err = funcs.call("app:reserve", "reserve")
    if err then
        return nil, err
    end

    local packer = process.with_options({ ["workflow.id"] = journey.child })
    local parcel
    parcel, err = packer:exec("app:parcel", "app:worker", "pack")
    if err then
        return nil, err
    end

    time.sleep("100ms")

    local numbers = {}
    while true do
        local message = inbox:receive()
        if message:topic() == "stop" then
            break
        end
        numbers[#numbers + 1] = message:payload():data()
    end

    _, err = funcs.call("app:ship", "ship")
    if err then
        return nil, err
    end

    return { numbers = numbers, parcel = parcel }
end

return { main = main }
