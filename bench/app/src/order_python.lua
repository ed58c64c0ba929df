-- The same order with activities in Python: `kind` is async or sync.
local funcs = require("funcs")

local function main(order, kind)
    local reserved = funcs.call("bench:reserve_" .. kind, order)
    local charged = funcs.call("bench:charge_" .. kind, order)
    local shipped = funcs.call("bench:ship_" .. kind, order)
    return {
        reservation = reserved.reservation,
        payment = charged.payment,
        tracking = shipped.tracking,
    }
end

return { main = main }
