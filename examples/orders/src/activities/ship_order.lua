-- Hands a parcel to the carrier. Input: { order_id, address }. Result: { tracking_number }
local function main(input)
    if not input.address or input.address == "" then
        return nil, errors.new({
            kind = errors.INVALID,
            message = "the order has no shipping address",
            retryable = false,
        })
    end
    return { tracking_number = "track-" .. tostring(input.order_id) }
end

return { main = main }
