-- Starts one child workflow for each line of an order, lets them run side by side, and adds
-- their results up.
-- Input: { lines = { { item, quantity }, ... } }

local function main(order)
    -- Ask for the events first: the end of each child is one of them.
    local events = process.events()
    local place = {}
    local open = 0

    for index, line in ipairs(order.lines) do
        -- Returns as soon as the child has started; its PID names it in the events.
        local pid, err = process.spawn("app:child", "app:worker", line)
        if err then
            return nil, err
        end
        place[pid] = index
        open = open + 1
    end

    local lines = {}
    local total = 0
    while open > 0 do
        local event = events:receive()
        local index = event.kind == process.event.EXIT and place[event.from]
        if index then
            if event.result.error then
                -- A failed child fails the parent, which ends the others.
                return nil, event.result.error
            end
            lines[index] = event.result.value
            total = total + event.result.value.total
            open = open - 1
        end
    end

    return { lines = lines, total = total }
end

return { main = main }
