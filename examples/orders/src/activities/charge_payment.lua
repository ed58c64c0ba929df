-- Charges a customer. Input: { amount, customer }. Result: { id, amount }
--
-- An activity may run more than once (a worker can die after charging and before saying so).
-- So a real one hands the payment service a key that is the same for every try.
local function main(input)
    if type(input.amount) ~= "number" or input.amount <= 0 then
        -- retryable = false: trying again cannot help, the retry policy stops here.
        return nil, errors.new({
            kind = errors.INVALID,
            message = "the amount must be above zero",
            retryable = false,
        })
    end
    if input.amount > 10000 then
        return nil, errors.new({
            kind = errors.PERMISSION_DENIED,
            message = "the card was declined",
            retryable = false,
            details = { limit = 10000 },
        })
    end
    return { id = "pay-" .. tostring(input.customer), amount = input.amount }
end

return { main = main }
