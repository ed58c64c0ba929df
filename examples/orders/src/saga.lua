-- A saga: each step that succeeded leaves a note of how to undo it; when a later step fails,
-- the notes are followed in reverse order.
-- Input: { id, items = {...}, total, customer_id, shipping_address }
local funcs = require("funcs")

-- Above main on purpose: a local function exists only below its declaration.
local function run_compensations(compensations)
    for _, comp in ipairs(compensations) do
        funcs.call(comp.action, comp.args)
    end
end

local function main(order)
    local compensations = {}

    -- Step 1: reserve the goods
    local reservation, err = funcs.call("app:reserve_inventory", order.items)
    if err then
        return { status = "failed", step = "inventory", error = tostring(err) }
    end
    -- Insert in front: the last step is undone first.
    table.insert(compensations, 1, {
        action = "app:release_inventory",
        args = reservation.id,
    })

    -- Step 2: charge the customer
    local payment, pay_err = funcs.call("app:charge_payment", {
        amount = order.total,
        customer = order.customer_id,
    })
    if pay_err then
        run_compensations(compensations)
        return { status = "failed", step = "payment", error = tostring(pay_err) }
    end
    table.insert(compensations, 1, {
        action = "app:refund_payment",
        args = payment.id,
    })

    -- Step 3: send the parcel
    local shipment, ship_err = funcs.call("app:ship_order", {
        order_id = order.id,
        address = order.shipping_address,
    })
    if ship_err then
        run_compensations(compensations)
        return { status = "failed", step = "shipping", error = tostring(ship_err) }
    end

    return { status = "completed", tracking = shipment.tracking_number }
end

return { main = main }
