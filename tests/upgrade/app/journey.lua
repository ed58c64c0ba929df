-- A journey of several legs, each a run of its own: an activity in Python, one that fails first, a
-- child, a timer, then signals until this leg has enough of them, all while updates may come.
-- Input: { leg, legs, signals, numbers, total, notes }; the result lists what came, in order.
local funcs = require("funcs")
local time = require("time")
local workflow = require("workflow")

local function main(trip)
    local inbox = process.inbox()
    workflow.on_update("note", function(n)
        trip.notes = trip.notes + n
        return n
    end)

    local _, err = funcs.call("app:book", "book")
    if err then
        return nil, err
    end
    _, err = funcs.call("app:flaky", "flaky")
    if err then
        return nil, err
    end
    local stop
    stop, err = workflow.exec("app:stop", trip.leg)
    if err then
        return nil, err
    end
    trip.total = trip.total + stop
    time.sleep("50ms")

    local wanted = trip.signals * trip.leg
    while #trip.numbers < wanted do
        local message = inbox:receive()
        trip.numbers[#trip.numbers + 1] = message:payload():data()
    end

    if trip.leg < trip.legs then
        trip.leg = trip.leg + 1
        workflow.continue_as_new(trip)
    end
    return { numbers = trip.numbers, total = trip.total, notes = trip.notes }
end

return { main = main }
