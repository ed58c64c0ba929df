-- Calls the activity it is given the name of.
local funcs = require("funcs")

local function main(name)
    return funcs.call("app:" .. name, name)
end

return { main = main }
