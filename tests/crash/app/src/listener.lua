-- Takes signals until one says "stop", and returns what the others carried.
local function main()
    local inbox = process.inbox()
    local heard = {}
    while true do
        local message = inbox:receive()
        if message:topic() == "stop" then
            return { heard = heard }
        end
        heard[#heard + 1] = message:payload():data()
    end
end

return { main = main }
