-- Calls one activity, or two, then waits for a signal: the run is open when a late answer comes.
-- Input: { activity, ["then"], wait }; the result is that of the last activity.
local funcs = require("funcs")

local function main(input)
    local inbox = process.inbox()
    local value, err = funcs.call("app:" .. input.activity, input.activity)
    if err then
        return nil, err
    end
    if input["then"] then
        value, err = funcs.call("app:" .. input["then"], input["then"])
        if err then
            return nil, err
        end
    end
    if input.wait then
        inbox:receive()
    end
    return value
end

return { main = main }
