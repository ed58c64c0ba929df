-- Twice its argument: an activity in Lua.
local function main(n)
    return n * 2
end

return { main = main }
