-- Many activities at once; the sum of what they return.
local funcs = require("funcs")

local function main(count)
    local futures, sum = {}, 0
    for i = 1, count do
        futures[i] = funcs.async("bench:echo", i)
    end
    for i = 1, count do
        sum = sum + futures[i]:response():receive():data()
    end
    return sum
end

return { main = main }
