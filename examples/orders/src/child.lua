-- The price of one line of an order: a workflow of its own, with its own history.
-- Input: { item, quantity }
local funcs = require("funcs")
local money = require("money") -- our own library, see imports: in _index.yaml

local function main(line)
    local price, err = funcs.call("app:price_item", line.item)
    if err then
        -- The second value is the error: it fails this workflow with its kind and message.
        return nil, err
    end
    return {
        item = line.item,
        quantity = line.quantity,
        total = money.round(price.amount * line.quantity),
    }
end

return { main = main }
