-- The order of order_workflow.lua with a wait of seconds, so that a demo can watch it end.
-- Input: { id, total, customer_id, shipping_address, wait = "2s"? }
local funcs = require("funcs")
local time = require("time")

local function main(order)
    -- An activity does the work that touches the outside world. Its result is recorded:
    -- after a crash the workflow goes on from here and the customer is not charged twice.
    local payment, err = funcs.call("app:charge_payment", {
        amount = order.total,
        customer = order.customer_id,
    })
    if err then
        return { status = "failed", step = "payment", error = tostring(err) }
    end

    -- A durable timer: kill every worker now, start them again, and it still fires on time.
    time.sleep(order.wait or "2s")

    local shipment, ship_err = funcs.call("app:ship_order", {
        order_id = order.id,
        address = order.shipping_address,
    })
    if ship_err then
        -- The payment went through but the parcel did not: give the money back.
        funcs.call("app:refund_payment", payment.id)
        return { status = "failed", step = "shipping", error = tostring(ship_err) }
    end

    return {
        status = "completed",
        payment_id = payment.id,
        tracking = shipment.tracking_number,
    }
end

return { main = main }
