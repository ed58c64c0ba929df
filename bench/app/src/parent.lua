-- Starts a child and waits for its end.
local function main(value)
    local events = process.events()
    assert(process.spawn("bench:child", "bench:worker", value))
    return events:receive().result.value
end

return { main = main }
