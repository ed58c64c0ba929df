---@meta

---Bytes as text: standard base64, padded.
---@class base64
local base64 = {}

---Bytes as base64.
---
---Workflows: pure.
---@param data string
---@return string? text
---@return Error? err
---
---```lua
---base64.encode("hello") --> "aGVsbG8="
---base64.encode("") --> ""
---base64.encode("\xff\x00") --> "/wA="
---base64.encode(1) --> nil, Invalid
---```
function base64.encode(data) end

---The bytes of a base64 text. Line breaks in it are skipped.
---
---Workflows: pure.
---@param text string
---@return string? data
---@return Error? err
---
---```lua
---base64.decode("aGVsbG8=") --> "hello"
---base64.decode("aGVs\nbG8=") --> "hello"
---base64.decode("") --> ""
---base64.decode("aGVsbG8") --> nil, Invalid
---base64.decode("?") --> nil, Invalid
---```
function base64.decode(text) end

return base64
