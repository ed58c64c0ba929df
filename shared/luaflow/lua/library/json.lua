---@meta

---JSON texts. Whole numbers stay whole, `3.0` stays a float; `null` becomes nil.
---@class json
local json = {}

---A value as JSON. An empty table is `[]`, a table with gaps or mixed keys is refused, so is one
---deeper than 128 or within itself; inf and nan become `null`.
---
---Workflows: pure.
---@param value any
---@return string? text
---@return Error? err
---
---```lua
---json.encode({1, 2.5, "x"}) --> '[1,2.5,"x"]'
---json.encode({a = true}) --> '{"a":true}'
---json.encode(nil) --> "null"
---json.encode({}) --> "[]"
---json.encode(1/0) --> "null"
---json.encode({[1] = 1, x = 2}) --> nil, Internal
---json.encode({[1] = 1, [3] = 2}) --> nil, Internal
---```
function json.encode(value) end

---The value of a JSON text.
---
---Workflows: pure.
---@param text string
---@return any value
---@return Error? err
---
---```lua
---json.decode('{"a":[1,2]}') --> {a = {1, 2}}
---json.decode("null") --> nil
---math.type(json.decode("3.0")) --> "float"
---json.decode("") --> nil, Invalid
---json.decode("{") --> nil, Internal
---```
function json.decode(text) end

---Whether a value keeps to a JSON Schema, given as a table or as JSON text; an error says where it does
---not. An empty table is a list and an object. References to other documents are not followed.
---
---Workflows: recorded.
---@param schema table|string
---@param value any
---@return boolean valid
---@return Error? err
---
---```lua
---local schema = {type = "object", required = {"total"}, properties = {total = {type = "number"}}}
---json.validate(schema, {total = 5}) --> true
---json.validate('{"type":"integer"}', 5) --> true
---json.validate({type = "object"}, {}) --> true
---json.validate(schema, {total = "much"}) --> false
---select(2, json.validate(schema, {total = "much"})):kind() --> "Invalid"
---tostring(select(2, json.validate(schema, {total = "much"}))) --> like "/total"
---select(2, json.validate({type = 7}, 5)):kind() --> "Invalid"
---```
function json.validate(schema, value) end

---The same, of a value that is a JSON text.
---
---Workflows: recorded.
---@param schema table|string
---@param text string
---@return boolean valid
---@return Error? err
---
---```lua
---json.validate_string({type = "array"}, "[1, 2]") --> true
---json.validate_string({type = "array"}, "{}") --> false
---select(2, json.validate_string({type = "array"}, "[")):kind() --> "Invalid"
---select(2, json.validate_string({type = "array"}, "")):kind() --> "Invalid"
---```
function json.validate_string(schema, text) end

return json
