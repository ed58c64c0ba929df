---@meta

---Errors as values. An error has a message, a kind, and perhaps details; it keeps them on its way
---from an activity, a child or another process.
---@class errors
---@field NOT_FOUND string `NotFound`
---@field ALREADY_EXISTS string `AlreadyExists`
---@field INVALID string `Invalid`
---@field PERMISSION_DENIED string `PermissionDenied`
---@field UNAVAILABLE string `Unavailable`
---@field INTERNAL string `Internal`
---@field CANCELED string `Canceled`
---@field CONFLICT string `Conflict`
---@field TIMEOUT string `Timeout`
---@field RATE_LIMITED string `RateLimited`
---@field UNKNOWN string The empty text: the kind of an error that has none.
errors = {}

---A new error: of a message, or of a table with `message`, `kind`, `retryable`, `details`. The
---form `errors.new(kind, message)` is understood, too.
---
---Workflows: pure.
---@param what string|{message: string, kind: string?, retryable: boolean?, details: table?}
---@param message? string
---@return Error error
---
---```lua
---errors.new("no such order"):message() --> "no such order"
---local e = errors.new{message = "gone", kind = errors.NOT_FOUND, retryable = false}
---e:kind(), e:retryable() --> "NotFound", false
---errors.new("NotFound", "gone"):kind() --> "NotFound"
---tostring(errors.new("no such order")) --> like "no such order"
---```
function errors.new(what, message) end

---The error, with more to say in front of it. Its kind, message and details stay.
---
---Workflows: pure.
---@param err Error|string
---@param context string
---@return Error error
---
---```lua
---local e = errors.wrap(errors.new{message = "refused", kind = "Invalid"}, "charging the card")
---e:kind(), e:message() --> "Invalid", "refused"
---tostring(e) --> like "charging the card.*refused"
---```
function errors.wrap(err, context) end

---Whether a value is an error of this kind.
---
---Workflows: pure.
---@param value any
---@param kind string
---@return boolean
---
---```lua
---errors.is(errors.new{message = "x", kind = "Timeout"}, errors.TIMEOUT) --> true
---errors.is("x", errors.TIMEOUT) --> false
---errors.is(nil, errors.TIMEOUT) --> false
---```
function errors.is(value, kind) end

---Where an error was made: its frames, innermost first; nil for what is no error.
---
---Workflows: pure.
---@param err Error
---@return {thread: string, frames: {source: string, line: integer, name: string}[]}? stack
---
---```lua
---#errors.call_stack(errors.new("x")).frames > 0 --> true
---errors.call_stack("x") --> nil
---```
function errors.call_stack(err) end

---An error as a value. Texts and errors can be joined to it with `..`.
---@class Error
local Error = {}

---What happened, without the contexts of `errors.wrap`.
---
---Workflows: pure.
---@return string message
---
---```lua
---errors.new("x"):message() --> "x"
---("it is " .. errors.new("x")) --> like "it is .*x"
---```
function Error:message() end

---The kind, such as `errors.NOT_FOUND`; "" for none.
---
---Workflows: pure.
---@return string kind
---
---```lua
---errors.new{message = "x", kind = "Busy"}:kind() --> "Busy"
---```
function Error:kind() end

---Whether to try again helps: true, false, or nil where nobody said.
---
---Workflows: pure.
---@return boolean? retryable
---
---```lua
---errors.new("x"):retryable() --> nil
---errors.new{message = "x", retryable = true}:retryable() --> true
---```
function Error:retryable() end

---What else there is to say, nil when nothing.
---
---Workflows: pure.
---@return table? details
---
---```lua
---errors.new{message = "x", details = {code = 7}}:details().code --> 7
---errors.new("x"):details() --> nil
---```
function Error:details() end

---Where it was made, as text for people.
---
---Workflows: pure.
---@return string stack
---
---```lua
---type(errors.new("x"):stack()) --> "string"
---```
function Error:stack() end
