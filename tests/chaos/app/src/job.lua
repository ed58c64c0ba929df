-- Five activities, two sleeps, a child, signals and an update, in one run.
-- Input: { items }: how many signals "item" it takes. Every one carries its number; the result lists
-- them as they were taken, and what the updates "add" brought.
local funcs = require("funcs")
local time = require("time")
local workflow = require("workflow")

local function main(job)
    local inbox = process.inbox()
    local numbers, added = {}, {}

    workflow.on_update("add", function(number)
        added[#added + 1] = number
        return #added
    end)

    local _, err = funcs.call("app:work", "first")
    if err then
        return nil, err
    end
    time.sleep("50ms")

    -- two side by side
    local one, two = funcs.async("app:shaky", "second"), funcs.async("app:work_on_loop", "third")
    for _, call in ipairs({ one, two }) do
        call:response():receive()
        local _, problem = call:result()
        if problem then
            return nil, problem
        end
    end

    local part
    part, err = workflow.exec("app:part", "part")
    if err then
        return nil, err
    end

    while #numbers < job.items do
        local message = inbox:receive()
        numbers[#numbers + 1] = message:payload():data()
    end

    time.sleep("20ms")
    _, err = funcs.call("app:work_on_loop", "fourth")
    if err then
        return nil, err
    end
    workflow.await(function()
        return #added > 0 and workflow.all_handlers_finished()
    end)
    _, err = funcs.call("app:work", "fifth")
    if err then
        return nil, err
    end

    return { numbers = numbers, added = added, part = part }
end

return { main = main }
