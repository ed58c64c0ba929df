-- Puts goods aside. Input: a list of item names. Result: { id, count }
local function main(items)
    items = items or {}
    for _, item in ipairs(items) do
        if item == "sold-out" then
            return nil, errors.new({
                kind = errors.NOT_FOUND,
                message = "the item is sold out",
                retryable = false,
            })
        end
    end
    return { id = "res-" .. table.concat(items, "-"), count = #items }
end

return { main = main }
