local funcs = require("funcs")
local time = require("time")
local workflow = require("workflow")

local function main()
    funcs.call("app:good")
    -- Two attempts, both fail.
    funcs.new():with_options({
        ["activity.retry_policy"] = { initial_interval = "50ms", maximum_attempts = 2 },
    }):call("app:bad")
    -- Takes longer than it may.
    funcs.new():with_options({
        ["activity.start_to_close_timeout"] = "500ms",
        ["activity.retry_policy"] = { maximum_attempts = 1 },
    }):call("app:slow")
    workflow.exec("app:child")
    time.sleep("100ms")
    return "done"
end

return { main = main }
