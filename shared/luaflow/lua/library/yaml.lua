---@meta

---YAML texts.
---@class yaml
local yaml = {}

---A table as YAML. Its keys are sorted; those of `field_order` go first.
---
---Workflows: recorded.
---@param value table
---@param options? {field_order: string[]?, sort_unordered: boolean?}
---@return string? text
---@return Error? err
---
---```lua
---yaml.encode({b = 1, a = {true, "x"}}) --> "a:\n    - true\n    - x\nb: 1\n"
---yaml.encode({a = 1, name = "x"}, {field_order = {"name"}}) --> "name: x\na: 1\n"
---yaml.encode("x") --> nil, Invalid
---yaml.encode({a = 1}, {field_order = "name"}) --> nil, Invalid
---yaml.encode({print}) --> nil, Internal
---```
function yaml.encode(value, options) end

---The value of a YAML text.
---
---Workflows: recorded.
---@param text string
---@return any value
---@return Error? err
---
---```lua
---yaml.decode("a: [1, 2.5, x]") --> {a = {1, 2.5, "x"}}
---yaml.decode("") --> nil, Invalid
---yaml.decode("a: [") --> nil, Internal
---```
function yaml.decode(text) end

return yaml
