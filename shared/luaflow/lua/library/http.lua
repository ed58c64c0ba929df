---@meta

---The request that a handler answers, and its response. A handler is a function that an `http.endpoint`
---names. In the examples it answers
---`POST /orders/7?page=2&tag=a&tag=b` with the headers `X-Tenant: acme` and `Accept: application/json`
---and the body `{"total": 5}`; its endpoint has the path `/orders/{id}`. A "handler of a form" gets a form
---with the field `title` and the file `photo`.
---@class http
local http = {}

---Methods of requests.
---@class http.METHOD
---@field GET string `GET`
---@field POST string `POST`
---@field PUT string `PUT`
---@field DELETE string `DELETE`
---@field PATCH string `PATCH`
---@field HEAD string `HEAD`
---@field OPTIONS string `OPTIONS`
---@field TRACE string `TRACE`
http.METHOD = {}

---Statuses of responses.
---@class http.STATUS
---@field OK integer `200`
---@field CREATED integer `201`
---@field ACCEPTED integer `202`
---@field NO_CONTENT integer `204`
---@field PARTIAL_CONTENT integer `206`
---@field MOVED_PERMANENTLY integer `301`
---@field FOUND integer `302`
---@field SEE_OTHER integer `303`
---@field NOT_MODIFIED integer `304`
---@field TEMPORARY_REDIRECT integer `307`
---@field PERMANENT_REDIRECT integer `308`
---@field BAD_REQUEST integer `400`
---@field UNAUTHORIZED integer `401`
---@field PAYMENT_REQUIRED integer `402`
---@field FORBIDDEN integer `403`
---@field NOT_FOUND integer `404`
---@field METHOD_NOT_ALLOWED integer `405`
---@field NOT_ACCEPTABLE integer `406`
---@field CONFLICT integer `409`
---@field GONE integer `410`
---@field UNPROCESSABLE integer `422`
---@field TOO_MANY_REQUESTS integer `429`
---@field INTERNAL_ERROR integer `500`
---@field INTERNAL_SERVER_ERROR integer `500`
---@field NOT_IMPLEMENTED integer `501`
---@field BAD_GATEWAY integer `502`
---@field SERVICE_UNAVAILABLE integer `503`
---@field GATEWAY_TIMEOUT integer `504`
---@field VERSION_NOT_SUPPORTED integer `505`
http.STATUS = {}

---Types of bodies.
---@class http.CONTENT
---@field JSON string `application/json`
---@field FORM string `application/x-www-form-urlencoded`
---@field TEXT string `text/plain`
---@field MULTIPART string `multipart/form-data`
---@field STREAM string `application/octet-stream`
http.CONTENT = {}

---How a response goes.
---@class http.TRANSFER
---@field CHUNKED string `chunked`
---@field SSE string `sse`
http.TRANSFER = {}

---What may be wrong with a response, for code that names it.
---@class http.ERROR
---@field PARSE_FAILED string `PARSE_FAILED`
---@field INVALID_STATE string `INVALID_STATE`
---@field WRITE_FAILED string `WRITE_FAILED`
---@field STREAM_ERROR string `STREAM_ERROR`
http.ERROR = {}

---The request of this handler. `timeout` bounds every reading of its body, in milliseconds, 300,000 by
---default; `max_body` its bytes, 120 MB by default. In a function that answers no request: Internal.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param options? {timeout: integer?, max_body: integer?}
---@return http.Request? request
---@return Error? err
---
---```lua
---http.request():method() --> "POST"
---http.request({max_body = 4}):body() --> nil, Invalid
---http.request({timeout = "soon"}) --> nil, Invalid
---```
---```lua function activity
---http.request() --> nil, Internal
---```
function http.request(options) end

---The response of this handler; 200 without a body unless something is set.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return http.Response? response
---@return Error? err
---
---```lua
---http.response() == http.response() --> true
---```
---```lua function activity
---http.response() --> nil, Internal
---```
function http.response() end

---A request.
---@class http.Request
local Request = {}

---Its method.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return string method
---
---```lua
---http.request():method() == http.METHOD.POST --> true
---```
function Request:method() end

---Its path, without the query.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return string path
---
---```lua
---http.request():path() --> "/orders/7"
---```
function Request:path() end

---A value of the query, the first of several; nil for none.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param name string
---@return string? value
---@return Error? err
---
---```lua
---local req = http.request()
---req:query("page"), req:query("tag") --> "2", "a"
---req:query("color") --> nil, nil
---req:query("") --> nil, Invalid
---```
function Request:query(name) end

---The whole query; several values of a name are joined with commas.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return table<string, string> values
---
---```lua
---http.request():query_params() --> {page = "2", tag = "a,b"}
---```
function Request:query_params() end

---A header, in any case; several of a name are joined with `, `. Nil for none.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param name string
---@return string? value
---@return Error? err
---
---```lua
---local req = http.request()
---req:header("x-tenant") --> "acme"
---req:header("X-Color") --> nil, nil
---req:header("") --> nil, Invalid
---```
function Request:header(name) end

---The header Content-Type.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return string? type
---
---```lua
---http.request():content_type() --> "application/json"
---```
function Request:content_type() end

---The bytes of the body; 0 for none, -1 when nobody said.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return integer bytes
---
---```lua
---http.request():content_length() --> 12
---```
function Request:content_length() end

---The host that was asked, with its port.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return string host
---
---```lua
---http.request():host() --> like "^127.0.0.1:%d+$"
---```
function Request:host() end

---Who asks: address and port.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return string address
---
---```lua
---http.request():remote_addr() --> like "^127.0.0.1:%d+$"
---```
function Request:remote_addr() end

---A parameter of the path; nil for none.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param name string
---@return string? value
---@return Error? err
---
---```lua
---local req = http.request()
---req:param("id") --> "7"
---req:param("color") --> nil, nil
---req:param(7) --> nil, Invalid
---```
function Request:param(name) end

---All parameters of the path. What `{rest...}` takes is none.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return table<string, string> values
---
---```lua
---http.request():params() --> {id = "7"}
---```
function Request:params() end

---The whole body. A request without one is Invalid, so is one that is too large.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return string? body
---@return Error? err
---
---```lua
---local req = http.request()
---req:body() --> '{"total": 5}'
---req:body() == req:body() --> true
---http.request({max_body = 4}):body() --> nil, Invalid
---```
function Request:body() end

---The value of a body that is JSON.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return any value
---@return Error? err
---
---```lua
---http.request():body_json() --> {total = 5}
---http.request({max_body = 4}):body_json() --> nil, Invalid
---```
function Request:body_json() end

---Whether there is a body.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return boolean has
---
---```lua
---http.request():has_body() --> true
---```
function Request:has_body() end

---Whether the body has this type, whatever its parameters.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param type string
---@return boolean? is
---@return Error? err
---
---```lua
---local req = http.request()
---req:is_content_type(http.CONTENT.JSON) --> true
---req:is_content_type("text/plain") --> false
---req:is_content_type(7) --> nil, Invalid
---```
function Request:is_content_type(type) end

---Whether the header Accept names the type, all of its kind, or all; false without that header.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param type string
---@return boolean? accepts
---@return Error? err
---
---```lua
---local req = http.request()
---req:accepts("application/json") --> true
---req:accepts("text/html") --> false
---req:accepts(7) --> nil, Invalid
---```
function Request:accepts(type) end

---The body piece by piece, as it comes. `timeout` and `max_body` do not hold for it.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return http.Stream? stream
---@return Error? err
---
---```lua
---http.request():stream():read() --> '{"total": 5}'
---http.request():body() --> nil, Invalid
---http.request():body_json() --> nil, Invalid
---```
function Request:stream() end

---The fields and files of a form; `max_memory` bytes of files are kept in memory, 32 MB by default, more
---goes to disk. A field that came several times is a list.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param max_memory? integer
---@return {values: table<string, string|string[]>, files: table<string, http.File[]>}? form
---@return Error? err
---
---```lua form
---local form = http.request():parse_multipart()
---form.values.title --> "sun"
---form.files.photo[1]:name() --> "sun.gif"
---```
---```lua handler
---http.request():parse_multipart() --> nil, Invalid
---http.request():parse_multipart("much") --> nil, Invalid
---```
function Request:parse_multipart(max_memory) end

---A file of a form.
---@class http.File
local File = {}

---Its name.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return string name
---
---```lua form
---local file = http.request():parse_multipart().files.photo[1]
---file:name() --> "sun.gif"
---```
function File:name() end

---Its bytes.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return integer bytes
---
---```lua form
---local file = http.request():parse_multipart().files.photo[1]
---file:size() --> 6
---```
function File:size() end

---A header of its part; nil for none.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param name string
---@return string? value
---@return Error? err
---
---```lua form
---local file = http.request():parse_multipart().files.photo[1]
---file:header("Content-Type") --> "image/gif"
---file:header("X-Color") --> nil, nil
---file:header(7) --> nil, Invalid
---```
function File:header(name) end

---Its content piece by piece.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return http.Stream? stream
---@return Error? err
---
---Proof: tests/web/test_http_request.py::test_a_form
---```lua form
---local file = http.request():parse_multipart().files.photo[1]
---file:stream():read() --> "GIF89a"
---```
function File:stream() end

---A body, or a file of one, that is read piece by piece.
---@class http.Stream
local Stream = {}

---The next piece, of `size` bytes at most; nil at the end.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param size? integer
---@return string? data
---@return Error? err
---
---```lua
---local stream = http.request():stream()
---stream:read(3) --> '{"t'
---stream:read() --> 'otal": 5}'
---stream:read() --> nil, nil
---stream:read(-1) --> nil, Invalid
---```
function Stream:read(size) end

---End it.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return true ok
---
---```lua
---local stream = http.request():stream()
---stream:close() --> true
---stream:read() --> nil, Invalid
---```
function Stream:close() end

---A response. The methods that set something return an error, or nothing; `status`, `header`,
---`content_type`, `send` and `json` return the response instead, to go on with, and raise what is wrong.
---What is written is gathered, and sent when it is much or by `flush`; then status and headers are out.
---@class http.Response
local Response = {}

---Set the status, 200 to 599.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param status integer
---@return Error? err
---
---```lua
---local res = http.response()
---res:set_status(http.STATUS.CREATED) --> nil
---res:set_status("fine"):kind() --> "Invalid"
---res:write("x")
---res:set_status(200):kind() --> "Invalid"
---```
function Response:set_status(status) end

---Set a header.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param name string
---@param value string|number|boolean
---@return Error? err
---
---```lua
---local res = http.response()
---res:set_header("X-Total", 5) --> nil
---res:set_header("no name", "x"):kind() --> "Invalid"
---res:set_header("Content-Length", 5):kind() --> "Invalid"
---```
function Response:set_header(name, value) end

---Set the header Content-Type.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param type string
---@return Error? err
---
---```lua
---local res = http.response()
---res:set_content_type("text/html") --> nil
---res:set_content_type(7):kind() --> "Invalid"
---```
function Response:set_content_type(type) end

---Add to the body.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param text string|number|boolean
---@return Error? err
---
---Proof: tests/web/test_http_response.py::test_status_headers_and_body
---```lua
---local res = http.response()
---res:write("hello") --> nil
---res:write({}):kind() --> "Invalid"
---```
function Response:write(text) end

---Add JSON to the body; the type is `application/json` unless another one is set.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param value any
---@return Error? err
---
---```lua
---local res = http.response()
---res:write_json({total = 5}) --> nil
---res:write_json(print):kind() --> "Invalid"
---```
function Response:write_json(value) end

---Send what was written, the status and the headers first.
---
---Workflows: forbidden. Elsewhere: handlers.
---@return Error? err
---
---```lua
---local res = http.response()
---res:write("hello") --> nil
---res:flush() --> nil
---res:set_header("X-Late", "x"):kind() --> "Invalid"
---```
function Response:flush() end

---How the body goes: in chunks as it is written, or as an event stream.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param mode "chunked"|"sse"
---@return Error? err
---
---```lua
---local res = http.response()
---res:set_transfer(http.TRANSFER.CHUNKED) --> nil
---res:set_transfer("slowly"):kind() --> "Invalid"
---```
function Response:set_transfer(mode) end

---Send an event to a client that listens; data that is no text goes as JSON.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param event {name: string?, data: any}
---@return Error? err
---
---```lua
---local res = http.response()
---res:set_transfer(http.TRANSFER.SSE) --> nil
---res:write_event({name = "paid", data = {total = 5}}) --> nil
---res:write_event("paid"):kind() --> "Invalid"
---```
function Response:write_event(event) end

---`set_status`, to go on with.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param status integer
---@return http.Response response
---
---```lua
---http.response():status(201) == http.response() --> true
---http.response():status(7) --> raises "status"
---```
function Response:status(status) end

---`set_header`, to go on with.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param name string
---@param value string|number|boolean
---@return http.Response response
---
---```lua
---http.response():header("X-Total", 5) == http.response() --> true
---http.response():header("no name", 5) --> raises "header"
---```
function Response:header(name, value) end

---`set_content_type`, to go on with.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param type string
---@return http.Response response
---
---```lua
---http.response():content_type("text/html") == http.response() --> true
---http.response():content_type(7) --> raises "type"
---```
function Response:content_type(type) end

---`write`, to go on with.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param text string|number|boolean
---@return http.Response response
---
---```lua
---http.response():status(404):send("gone") == http.response() --> true
---http.response():send({}) --> raises "text"
---```
function Response:send(text) end

---`write_json`, to go on with.
---
---Workflows: forbidden. Elsewhere: handlers.
---@param value any
---@return http.Response response
---
---```lua
---http.response():status(500):json({error = "x"}) == http.response() --> true
---http.response():json(print) --> raises "JSON"
---```
function Response:json(value) end

return http
