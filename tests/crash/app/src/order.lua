-- An order: three activities, a durable sleep, and signals until the last one has come.
-- Input: { items }. Every signal "item" carries its number; the result lists them as they were taken.
local funcs = require("funcs")
local time = require("time")

local function main(order)
    local inbox = process.inbox()
    local numbers = {}

    local _, err = funcs.call("app:reserve", "reserve")
    if err then
        return nil, err
    end

    time.sleep("100ms")

    while #numbers < order.items do
        local message = inbox:receive()
        numbers[#numbers + 1] = message:payload():data()
    end

    for _, step in ipairs({ "charge", "ship" }) do
        _, err = funcs.call("app:" .. step, step)
        if err then
            return nil, err
        end
    end

    return { numbers = numbers }
end

return { main = main }
