-- Calls two activities written in Python, exactly as it would call Lua ones.
-- Input: { id, total, country, email }
local funcs = require("funcs")

local function main(order)
    local tax, err = funcs.call("app:calculate_tax", order.total, order.country)
    if err then
        return nil, err
    end

    local receipt, mail_err = funcs.call("app:send_receipt", {
        order_id = order.id,
        email = order.email,
        amount = order.total + tax,
    })
    if mail_err then
        return nil, mail_err
    end

    return { tax = tax, receipt = receipt.id }
end

return { main = main }
