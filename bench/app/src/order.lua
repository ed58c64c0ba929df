-- Three activities, one after the other.
local funcs = require("funcs")

local function main(order)
    local reserved = funcs.call("bench:reserve", order)
    local charged = funcs.call("bench:charge", order)
    local shipped = funcs.call("bench:ship", order)
    return {
        reservation = reserved.reservation,
        payment = charged.payment,
        tracking = shipped.tracking,
    }
end

return { main = main }
