---@meta

---Values with a format, as messages carry them.
---@class payload
---@field JSON string `json/plain`
---@field YAML string `yaml/plain`
---@field STRING string `text/plain`
---@field BYTES string `application/octet-stream`
---@field MSGPACK string `application/msgpack`
---@field LUA string `lua/any`
---@field GOLANG string `golang/any`
---@field ERROR string `golang/error`
payload = {}

---The formats once more, as `payload.format.JSON` and so on.
---@class payload.format
---@field JSON string `json/plain`
---@field YAML string `yaml/plain`
---@field STRING string `text/plain`
---@field BYTES string `application/octet-stream`
---@field MSGPACK string `application/msgpack`
---@field LUA string `lua/any`
---@field GOLANG string `golang/any`
---@field ERROR string `golang/error`
payload.format = {}

---A payload of a value, in the format `payload.LUA`.
---
---Workflows: pure.
---@param value any
---@return Payload payload
---
---```lua
---payload.new({a = 1}):data() --> {a = 1}
---```
function payload.new(value) end

---A value and its format.
---@class Payload
local Payload = {}

---The value.
---
---Workflows: pure.
---@return any value
---
---```lua
---payload.new("x"):data() --> "x"
---```
function Payload:data() end

---The format, one of the constants.
---
---Workflows: pure.
---@return string format
---
---```lua
---payload.new("x"):get_format() --> "lua/any"
---```
function Payload:get_format() end

---The same value in another format.
---
---Workflows: pure.
---@param format string
---@return Payload? payload
---@return Error? err
---
---```lua
---payload.new({1, 2}):transcode(payload.STRING):data() --> "[1,2]"
---payload.new("[1,2]"):transcode(payload.STRING):transcode(payload.JSON):data() --> {1, 2}
---payload.new(1):transcode("text/html") --> nil, Internal
---```
function Payload:transcode(format) end

---The value, read out of its format.
---
---Workflows: pure.
---@return any value
---
---```lua
---payload.new({1, 2}):unmarshal() --> {1, 2}
---```
function Payload:unmarshal() end
