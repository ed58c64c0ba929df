-- Takes so many messages, one after the other; "work" makes it run 100 activities side by side.
local funcs = require("funcs")
local workflow = require("workflow")

local function main(count)
    local inbox, seen = process.inbox(), 0
    workflow.on_query("seen", function()
        return seen
    end)
    workflow.on_update("tick", function()
        return seen
    end)
    while seen < count do
        local topic = inbox:receive():topic()
        seen = seen + 1
        if topic == "work" then
            local calls = {}
            for i = 1, 100 do
                calls[i] = funcs.async("bench:echo", i)
            end
            for i = 1, 100 do
                calls[i]:response():receive()
            end
        end
    end
    return seen
end

return { main = main }
