-- Looks a price up. Input: an item's name. Result: { amount }
local prices = { book = 12.5, pen = 1.2, lamp = 39.9 }

local function main(item)
    local amount = prices[item]
    if not amount then
        return nil, errors.new({
            kind = errors.NOT_FOUND,
            message = "no price for " .. tostring(item),
            retryable = false,
        })
    end
    return { amount = amount }
end

return { main = main }
