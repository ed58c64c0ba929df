-- Waits for somebody's decision, but not for ever.
-- Input: { order_id, timeout = "24h"? }. Answer it with a signal:
--   luaflow workflow signal -w <workflow id> -n approve -i '{"by": "ana"}'
local time = require("time")

local function main(request)
    -- Signals arrive in the inbox; what came before this line is kept and found here too.
    local inbox = process.inbox()
    -- A channel that gets one value when the (durable) timer fires.
    local deadline = time.after(request.timeout or "24h")

    while true do
        -- Waits for whichever comes first; of two that are ready, the one written first wins.
        local case = channel.select({
            inbox:case_receive(),
            deadline:case_receive(),
        })

        if case.channel == deadline then
            return { status = "expired", order_id = request.order_id }
        end

        local message = case.value
        local payload = message:payload()
        local data = payload and payload:data() or {}

        if message:topic() == "approve" then
            return { status = "approved", order_id = request.order_id, by = data.by }
        elseif message:topic() == "reject" then
            return { status = "rejected", order_id = request.order_id, reason = data.reason }
        end
        -- Any other topic is none of our business: wait on.
    end
end

return { main = main }
