-- Gives the money of a payment back. Input: the payment's id.
local function main(payment_id)
    return { id = payment_id, refunded = true }
end

return { main = main }
