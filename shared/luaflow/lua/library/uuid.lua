---@meta

---Unique ids. Random ones are recorded in workflows, named ones are computed.
---@class uuid
local uuid = {}

---A UUID of time and node (version 1).
---
---Workflows: recorded.
---@return string uuid
---
---```lua
---uuid.version(uuid.v1()) --> 1
---```
function uuid.v1() end

---A random UUID (version 4).
---
---Workflows: recorded.
---@return string uuid
---
---```lua
---uuid.version(uuid.v4()) --> 4
---uuid.v4() == uuid.v4() --> false
---```
function uuid.v4() end

---A UUID that sorts by time (version 7).
---
---Workflows: recorded.
---@return string uuid
---
---```lua
---uuid.version(uuid.v7()) --> 7
---```
function uuid.v7() end

---The UUID of a name in a namespace, by MD5 (version 3).
---
---Workflows: pure.
---@param namespace string
---@param name string
---@return string? uuid
---@return Error? err
---
---```lua
---uuid.v3("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "a.example") --> like "^%x+-%x+-3%x+-"
---uuid.v3("no uuid", "a") --> nil, Invalid
---uuid.v3("6ba7b810-9dad-11d1-80b4-00c04fd430c8", 1) --> nil, Invalid
---```
function uuid.v3(namespace, name) end

---The UUID of a name in a namespace, by SHA-1 (version 5).
---
---Workflows: pure.
---@param namespace string
---@param name string
---@return string? uuid
---@return Error? err
---
---```lua
---uuid.v5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com") --> "2ed6657d-e927-568b-95e1-2665a8aea6a2"
---uuid.v5("no uuid", "a") --> nil, Invalid
---```
function uuid.v5(namespace, name) end

---Whether a value is the text of a UUID.
---
---Workflows: pure.
---@param text any
---@return boolean valid
---@return nil
---
---```lua
---uuid.validate("2ed6657d-e927-568b-95e1-2665a8aea6a2") --> true, nil
---uuid.validate("2ed6657d") --> false
---uuid.validate(7) --> false
---```
function uuid.validate(text) end

---The version of a UUID.
---
---Workflows: pure.
---@param text string
---@return integer? version
---@return Error? err
---
---```lua
---uuid.version("2ed6657d-e927-568b-95e1-2665a8aea6a2") --> 5
---uuid.version("x") --> nil, Invalid
---```
function uuid.version(text) end

---The variant of a UUID: RFC4122, Reserved, Microsoft, Future or NCS.
---
---Workflows: pure.
---@param text string
---@return string? variant
---@return Error? err
---
---```lua
---uuid.variant("2ed6657d-e927-568b-95e1-2665a8aea6a2") --> "RFC4122"
---uuid.variant("x") --> nil, Invalid
---```
function uuid.variant(text) end

---What a UUID says: version, variant, for versions 1 and 7 the time in seconds, for 1 the node.
---
---Workflows: pure.
---@param text string
---@return {version: integer, variant: string, timestamp: integer?, node: string?}? parts
---@return Error? err
---
---```lua
---uuid.parse("018f3f2e-7c00-7000-8000-000000000000") --> {version = 7, variant = "RFC4122", timestamp = 1714751962}
---uuid.parse("x") --> nil, Invalid
---```
function uuid.parse(text) end

---A UUID in another form: "standard", "simple" (no dashes) or "urn".
---
---Workflows: pure.
---@param text string
---@param form? "standard"|"simple"|"urn"
---@return string? uuid
---@return Error? err
---
---```lua
---uuid.format("2ed6657d-e927-568b-95e1-2665a8aea6a2", "simple") --> "2ed6657de927568b95e12665a8aea6a2"
---uuid.format("2ed6657de927568b95e12665a8aea6a2", "urn") --> "urn:uuid:2ed6657d-e927-568b-95e1-2665a8aea6a2"
---uuid.format("2ed6657de927568b95e12665a8aea6a2", "upper") --> nil, Invalid
---```
function uuid.format(text, form) end

return uuid
