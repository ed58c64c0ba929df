---@meta

---The log of the process that runs the code, with the run's PID and the place in the code. In
---workflows it is silent while history is replayed, unless the worker has
---`enable_logging_in_replay`.
---@class logger : Logger
logger = {}

---Writes lines with fields of its own.
---@class Logger
local Logger = {}

---Write a line that only debugging wants.
---
---Workflows: pure.
---@param message string
---@param fields? table
---
---```lua
---local log = require("logger")
---log:debug("charged", {amount = 5}) --> nil
---```
function Logger:debug(message, fields) end

---Write a line.
---
---Workflows: pure.
---@param message string
---@param fields? table
---
---```lua
---local log = require("logger")
---log:info("charged", {amount = 5}) --> nil
---```
function Logger:info(message, fields) end

---Write a line about something doubtful.
---
---Workflows: pure.
---@param message string
---@param fields? table
---
---```lua
---local log = require("logger")
---log:warn("slow") --> nil
---```
function Logger:warn(message, fields) end

---Write a line about a failure.
---
---Workflows: pure.
---@param message string
---@param fields? table
---
---```lua
---local log = require("logger")
---log:error("refused", {code = 7}) --> nil
---```
function Logger:error(message, fields) end

---A logger whose lines have these fields, too.
---
---Workflows: pure.
---@param fields table
---@return Logger logger
---
---```lua
---local log = require("logger"):with({order = 7})
---log:info("charged") --> nil
---```
function Logger:with(fields) end

---A logger of this name, below the name it has.
---
---Workflows: pure.
---@param name string
---@return Logger logger
---
---```lua
---local log = require("logger"):named("billing")
---log:info("charged") --> nil
---log:named("") --> raises "non-empty"
---```
function Logger:named(name) end

return logger
