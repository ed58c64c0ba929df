---@meta

---Requests to HTTP servers. An answer of any status is a response, also 404 or 500; an error means that
---there was no answer. Private and local addresses are refused, unless the operator allows them with
---LUAFLOW_HTTP_PRIVATE=allow. In the examples `https://api.example.com` answers with what it was asked,
---as JSON.
---@class http_client
local http_client = {}

---What a request may be given.
---@class (exact) http_client.Options
---@field headers? table<string, string>
---@field query? table<string, any> Added to the URL.
---@field body? string
---@field form? table<string, any> The fields of a form, as the body.
---@field files? {name: string, filename: string?, content: string, content_type: string?}[] Files, beside `form`.
---@field cookies? table<string, string>
---@field auth? {user: string, pass: string}
---@field timeout? number|string|time.Duration In seconds, or a duration; 30 s by default.
---@field stream? boolean Whether to read the body piece by piece.
---@field max_response_body? integer The most bytes of a body that is not streamed; 10 MB by default.
---@field unix_socket? string A socket to connect to.
---@field tls? table `ca`, `cert`, `key`, `server_name`, `insecure_skip_verify`.
local Options = {}

---An answer. `response:status()` and `response:body()` are understood beside the fields.
---@class (exact) http_client.Response
---@field status_code integer
---@field body? string Nil for a stream.
---@field body_size integer In bytes; -1 for a stream.
---@field headers table<string, string> By names such as `Content-Type`.
---@field cookies table<string, string> Those that it sets.
---@field url string Where it comes from, after redirects.
---@field stream? Stream The body, where `stream` was asked for.
local Response = {}

---Send a GET request.
---
---Workflows: forbidden.
---@param url string
---@param options? http_client.Options
---@return http_client.Response? response
---@return Error? err
---
---```lua
---local json = require("json")
---local response = http_client.get("https://api.example.com/orders", {query = {page = 2}})
---response.status_code, response:status() --> 200, 200
---json.decode(response.body).query --> {page = "2"}
---response.headers["Content-Type"] --> "application/json; charset=utf-8"
---response.url --> "https://api.example.com/orders?page=2"
---http_client.get("https://api.example.com/status/404").status_code --> 404
---http_client.get("https://api.example.com/broken") --> nil, Internal
---http_client.get("orders") --> nil, Invalid
---```
function http_client.get(url, options) end

---Send a POST request.
---
---Workflows: forbidden.
---@param url string
---@param options? http_client.Options
---@return http_client.Response? response
---@return Error? err
---
---```lua
---local json = require("json")
---local response = http_client.post("https://api.example.com/orders", {headers = {["X-Tenant"] = "acme"}, body = json.encode({total = 5})})
---local asked = json.decode(response:body())
---asked.method, asked.body, asked.tenant --> "POST", '{"total":5}', "acme"
---json.decode(http_client.post("https://api.example.com/orders", {form = {total = 5}}).body).body --> "total=5"
---http_client.post("https://api.example.com/orders", {body = 5}) --> nil, Invalid
---```
function http_client.post(url, options) end

---Send a PUT request.
---
---Workflows: forbidden.
---@param url string
---@param options? http_client.Options
---@return http_client.Response? response
---@return Error? err
---
---```lua
---local json = require("json")
---json.decode(http_client.put("https://api.example.com/orders/7", {body = "x"}).body).body --> "x"
---http_client.put("orders") --> nil, Invalid
---```
function http_client.put(url, options) end

---Send a PATCH request.
---
---Workflows: forbidden.
---@param url string
---@param options? http_client.Options
---@return http_client.Response? response
---@return Error? err
---
---```lua
---local json = require("json")
---json.decode(http_client.patch("https://api.example.com/orders/7", {body = "x"}).body).method --> "PATCH"
---http_client.patch("orders") --> nil, Invalid
---```
function http_client.patch(url, options) end

---Send a DELETE request.
---
---Workflows: forbidden.
---@param url string
---@param options? http_client.Options
---@return http_client.Response? response
---@return Error? err
---
---```lua
---local json = require("json")
---json.decode(http_client.delete("https://api.example.com/orders/7", {auth = {user = "ada", pass = "x"}}).body).auth --> "Basic YWRhOng="
---http_client.delete("orders") --> nil, Invalid
---```
function http_client.delete(url, options) end

---Send a HEAD request: its answer has no body.
---
---Workflows: forbidden.
---@param url string
---@param options? http_client.Options
---@return http_client.Response? response
---@return Error? err
---
---```lua
---local response = http_client.head("https://api.example.com/orders")
---response.status_code, response.body --> 200, ""
---http_client.head("orders") --> nil, Invalid
---```
function http_client.head(url, options) end

---Send a request of any method.
---
---Workflows: forbidden.
---@param method string
---@param url string
---@param options? http_client.Options
---@return http_client.Response? response
---@return Error? err
---
---```lua
---local json = require("json")
---json.decode(http_client.request("PURGE", "https://api.example.com/orders").body).method --> "PURGE"
---http_client.request("", "https://api.example.com") --> nil, Invalid
---http_client.request("GET", "https://api.example.com/slow", {timeout = "20ms"}) --> nil, Internal
---```
function http_client.request(method, url, options) end

---Send up to 100 requests side by side, each a list of method, url, options. Responses stand at the places
---of their requests; so do errors, in a second table, nil when there is none.
---
---Workflows: forbidden.
---@param requests table[]
---@return table<integer, http_client.Response>? responses
---@return table<integer, Error>|Error|nil errs
---
---```lua
---local responses, errs = http_client.request_batch({{"GET", "https://api.example.com/status/200"}, {"GET", "https://api.example.com/broken"}})
---responses[1].status_code, responses[2] --> 200, nil
---errs[1], errs[2]:kind() --> nil, "Internal"
---select(2, http_client.request_batch({{"GET", "https://api.example.com/"}})) --> nil
---http_client.request_batch(7) --> nil, Invalid
---```
function http_client.request_batch(requests) end

---A text as it may stand in a URL's query.
---
---Workflows: forbidden.
---@param text string
---@return string? encoded
---@return Error? err
---
---```lua
---http_client.encode_uri("a b&c=é") --> "a+b%26c%3D%C3%A9"
---http_client.encode_uri(7) --> nil, Invalid
---```
function http_client.encode_uri(text) end

---The text that stands in a URL's query.
---
---Workflows: forbidden.
---@param text string
---@return string? decoded
---@return Error? err
---
---```lua
---http_client.decode_uri("a+b%26c%3D%C3%A9") --> "a b&c=é"
---http_client.decode_uri("100%") --> nil, Invalid
---```
function http_client.decode_uri(text) end

---A body that is read piece by piece.
---@class Stream
local Stream = {}

---The next piece, of `size` bytes at most; nil at the end.
---
---Workflows: forbidden.
---@param size? integer
---@return string? data
---@return Error? err
---
---```lua
---local stream = http_client.get("https://api.example.com/lines", {stream = true}).stream
---stream:read(3) --> "one"
---stream:read() --> "\ntwo\n"
---stream:read() --> nil, nil
---stream:read(-1) --> nil, Invalid
---```
function Stream:read(size) end

---A reader of tokens: `lines`, `words`, `bytes` or `runes`; lines by default.
---
---Workflows: forbidden.
---@param split? "lines"|"words"|"bytes"|"runes"
---@return Scanner? scanner
---@return Error? err
---
---```lua
---local stream = http_client.get("https://api.example.com/lines", {stream = true}).stream
---local scanner = stream:scanner("lines")
---scanner:scan(), scanner:text() --> true, "one"
---scanner:scan(), scanner:text() --> true, "two"
---scanner:scan() --> false
---stream:scanner("pages") --> nil, Invalid
---```
function Stream:scanner(split) end

---What the stream is: size (-1: nobody knows), position, readable, writable, seekable.
---
---Workflows: forbidden.
---@return {size: integer, position: integer, readable: boolean, writable: boolean, seekable: boolean} stat
---
---```lua
---local stream = http_client.get("https://api.example.com/lines", {stream = true}).stream
---stream:read(3)
---stream:stat() --> {size = -1, position = 3, readable = true, writable = false, seekable = false}
---```
function Stream:stat() end

---End it; what was not read is dropped. Streams end with the call that opened them.
---
---Workflows: forbidden.
---@return true? ok
---@return Error? err
---
---```lua
---local stream = http_client.get("https://api.example.com/lines", {stream = true}).stream
---stream:close() --> true
---stream:read() --> nil, Internal
---stream:stat().readable --> false
---```
function Stream:close() end

---Not for these streams: they can only be read.
---
---Workflows: forbidden.
---@param data string
---@return nil
---@return Error err
---
---```lua
---local stream = http_client.get("https://api.example.com/lines", {stream = true}).stream
---stream:write("x") --> nil, Internal
---select("#", stream:write("x")) --> 2
---```
function Stream:write(data) end

---Not for these streams: they can only be read.
---
---Workflows: forbidden.
---@param whence? string
---@return nil
---@return Error err
---
---```lua
---local stream = http_client.get("https://api.example.com/lines", {stream = true}).stream
---stream:seek("set") --> nil, Internal
---select("#", stream:seek("set")) --> 2
---```
function Stream:seek(whence) end

---Not for these streams: they can only be read.
---
---Workflows: forbidden.
---@return nil
---@return Error err
---
---```lua
---local stream = http_client.get("https://api.example.com/lines", {stream = true}).stream
---stream:flush() --> nil, Internal
---select("#", stream:flush()) --> 2
---```
function Stream:flush() end

---Reads a stream token by token; one has 65,536 bytes at most.
---@class Scanner
local Scanner = {}

---Go on to the next token: true, false at the end, or false and an error.
---
---Workflows: forbidden.
---@return boolean more
---@return Error? err
---
---```lua
---local scanner = http_client.get("https://api.example.com/lines", {stream = true}).stream:scanner("words")
---scanner:scan() --> true
---scanner:scan() --> true
---scanner:scan() --> false, nil
---local long = http_client.get("https://api.example.com/long", {stream = true}).stream:scanner()
---select(2, long:scan()):kind() --> "Internal"
---```
function Scanner:scan() end

---The token; "" before the first and after the last.
---
---Workflows: forbidden.
---@return string token
---
---```lua
---local scanner = http_client.get("https://api.example.com/lines", {stream = true}).stream:scanner("words")
---scanner:text() --> ""
---scanner:scan()
---scanner:text() --> "one"
---```
function Scanner:text() end

---What went wrong, as text; nil when nothing did.
---
---Workflows: forbidden.
---@return string? err
---
---```lua
---local scanner = http_client.get("https://api.example.com/lines", {stream = true}).stream:scanner("words")
---scanner:err() --> nil
---local long = http_client.get("https://api.example.com/long", {stream = true}).stream:scanner()
---long:scan()
---long:err() --> like "65536"
---```
function Scanner:err() end

return http_client
