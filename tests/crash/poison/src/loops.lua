-- Never waits for anything: over its budget each time it is tried.
local function main()
    while true do
    end
end

return { main = main }
