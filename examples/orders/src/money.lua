-- What the workflows share about money. A library only returns a table.
local money = {}

-- Two decimals, half up.
function money.round(amount)
    return math.floor(amount * 100 + 0.5) / 100
end

return money
