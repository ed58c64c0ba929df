---@meta

---Random values, encryption, signatures, tokens. Keys and results are byte strings; in a workflow what
---is random is recorded, and so readable in its history: keep keys out of it where you can.
---@class crypto
local crypto = {}

---Random values, from 1 to 1,048,576 bytes long.
---@class crypto.random
crypto.random = {}

---Random bytes.
---
---Workflows: recorded.
---@param length integer
---@return string? bytes
---@return Error? err
---
---```lua
---#crypto.random.bytes(16) --> 16
---crypto.random.bytes(16) == crypto.random.bytes(16) --> false
---crypto.random.bytes(0) --> nil, Invalid
---crypto.random.bytes(1048577) --> nil, Invalid
---```
function crypto.random.bytes(length) end

---A random text of letters and digits, or of the characters of `charset`.
---
---Workflows: recorded.
---@param length integer
---@param charset? string
---@return string? text
---@return Error? err
---
---```lua
---crypto.random.string(20) --> like "^%w+$"
---#crypto.random.string(20) --> 20
---crypto.random.string(3, "x") --> "xxx"
---crypto.random.string(3, "") --> nil, Invalid
---crypto.random.string(1.5) --> nil, Invalid
---```
function crypto.random.string(length, charset) end

---A random UUID, the same as `uuid.v4`.
---
---Workflows: recorded.
---@return string uuid
---
---```lua
---crypto.random.uuid() --> like "^%x+-%x+-4%x+-"
---```
function crypto.random.uuid() end

---Encryption with a key. What it returns is a nonce of 12 bytes, the data, a tag.
---@class crypto.encrypt
crypto.encrypt = {}

---Encrypt with AES in GCM mode. The key has 16, 24 or 32 bytes; `aad` is not encrypted, but must be the same
---again to decrypt.
---
---Workflows: recorded.
---@param data string
---@param key string
---@param aad? string
---@return string? encrypted
---@return Error? err
---
---```lua
---local key = ("k"):rep(16)
---crypto.decrypt.aes(crypto.encrypt.aes("secret", key), key) --> "secret"
---#crypto.encrypt.aes("secret", key) --> 34
---crypto.encrypt.aes("secret", "short") --> nil, Invalid
---```
function crypto.encrypt.aes(data, key, aad) end

---Encrypt with ChaCha20-Poly1305. The key has 32 bytes; `aad` is not encrypted, but must be the same
---again to decrypt.
---
---Workflows: recorded.
---@param data string
---@param key string
---@param aad? string
---@return string? encrypted
---@return Error? err
---
---```lua
---local key = ("k"):rep(32)
---crypto.decrypt.chacha20(crypto.encrypt.chacha20("secret", key), key) --> "secret"
---#crypto.encrypt.chacha20("secret", key) --> 34
---crypto.encrypt.chacha20("secret", "short") --> nil, Invalid
---```
function crypto.encrypt.chacha20(data, key, aad) end

---The way back from `crypto.encrypt`.
---@class crypto.decrypt
crypto.decrypt = {}

---Decrypt what `crypto.encrypt.aes` gave. Data that was changed, another key or other `aad` are
---Internal, data that is too short is Invalid.
---
---Workflows: pure.
---@param data string
---@param key string
---@param aad? string
---@return string? data
---@return Error? err
---
---```lua
---local key = ("k"):rep(16)
---local sealed = crypto.encrypt.aes("secret", key, "order 7")
---crypto.decrypt.aes(sealed, key, "order 7") --> "secret"
---crypto.decrypt.aes(sealed, key, "order 8") --> nil, Internal
---crypto.decrypt.aes(sealed, ("x"):rep(16), "order 7") --> nil, Internal
---crypto.decrypt.aes("short", key) --> nil, Invalid
---```
function crypto.decrypt.aes(data, key, aad) end

---Decrypt what `crypto.encrypt.chacha20` gave. Data that was changed, another key or other `aad` are
---Internal, data that is too short is Invalid.
---
---Workflows: pure.
---@param data string
---@param key string
---@param aad? string
---@return string? data
---@return Error? err
---
---```lua
---local key = ("k"):rep(32)
---local sealed = crypto.encrypt.chacha20("secret", key, "order 7")
---crypto.decrypt.chacha20(sealed, key, "order 7") --> "secret"
---crypto.decrypt.chacha20(sealed, key, "order 8") --> nil, Internal
---crypto.decrypt.chacha20(sealed, ("x"):rep(32), "order 7") --> nil, Internal
---crypto.decrypt.chacha20("short", key) --> nil, Invalid
---```
function crypto.decrypt.chacha20(data, key, aad) end

---Authentication codes in hex. The key comes first: `hash.hmac_…` take it last.
---@class crypto.hmac
crypto.hmac = {}

---The code of `data` by HMAC and SHA-256.
---
---Workflows: pure.
---@param key string
---@param data string
---@return string? code
---@return Error? err
---
---```lua
---crypto.hmac.sha256("key", "hello") --> "9307b3b915efb5171ff14d8cb55fbcc798c6c0ef1456d66ded1a6aa723a58b7b"
---crypto.hmac.sha256("", "hello") --> nil, Invalid
---```
function crypto.hmac.sha256(key, data) end

---The code of `data` by HMAC and SHA-512.
---
---Workflows: pure.
---@param key string
---@param data string
---@return string? code
---@return Error? err
---
---```lua
---crypto.hmac.sha512("key", "hello") --> "ff06ab36757777815c008d32c8e14a705b4e7bf310351a06a23b612dc4c7433e7757d20525a5593b71020ea2ee162d2311b247e9855862b270122419652c0c92"
---crypto.hmac.sha512("", "hello") --> nil, Invalid
---```
function crypto.hmac.sha512(key, data) end

---JSON Web Tokens.
---@class crypto.jwt
crypto.jwt = {}

---A signed token of claims. `_header` in them is merged into its header. HS256, HS384, HS512, and RS256
---with a private key in PEM; an algorithm that is none of them is HS256.
---
---Workflows: pure.
---@param claims table
---@param key string
---@param algorithm? string
---@return string? token
---@return Error? err
---
---```lua
---crypto.jwt.encode({sub = "ada"}, "key") --> "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEifQ.Sh6ESZwQjBX8ksVPFhO9Ron-u0W8iIQD3o31FSYgtQk"
---crypto.jwt.encode({sub = "ada", _header = {kid = "7"}}, "key", "HS512") --> like "^[%w_-]+%.[%w_-]+%.[%w_-]+$"
---crypto.jwt.encode("ada", "key") --> nil, Invalid
---crypto.jwt.encode({sub = "ada"}, "") --> nil, Invalid
---crypto.jwt.encode({sub = "ada"}, "no PEM", "RS256") --> nil, Internal
---```
function crypto.jwt.encode(claims, key, algorithm) end

---The claims of a token whose signature holds and whose time is not over. A token without `exp` is
---refused, unless the last argument is false.
---
---Workflows: recorded.
---@param token string
---@param key string
---@param algorithm? string
---@param require_exp? boolean
---@return table? claims
---@return Error? err
---
---```lua
---local token = crypto.jwt.encode({sub = "ada", exp = 4102444800}, "key")
---crypto.jwt.verify(token, "key") --> {sub = "ada", exp = 4102444800}
---crypto.jwt.verify(token, "another key") --> nil, Internal
---crypto.jwt.verify(crypto.jwt.encode({exp = 1}, "key"), "key") --> nil, Internal
---crypto.jwt.verify(crypto.jwt.encode({sub = "ada"}, "key"), "key") --> nil, Internal
---crypto.jwt.verify(crypto.jwt.encode({sub = "ada"}, "key"), "key", "HS256", false) --> {sub = "ada"}
---crypto.jwt.verify("", "key") --> nil, Invalid
---```
function crypto.jwt.verify(token, key, algorithm, require_exp) end

---A key of `length` bytes from a password, by PBKDF2 with SHA-256 or SHA-512. At most 10,000,000
---iterations; in a workflow 1,000,000, more belong into an activity.
---
---Workflows: pure.
---@param password string
---@param salt string
---@param iterations integer
---@param length integer
---@param digest? "sha256"|"sha512"
---@return string? key
---@return Error? err
---
---```lua
---crypto.pbkdf2("password", "salt", 1000, 8) --> "\x63\x2c\x28\x12\xe4\x6d\x46\x04"
---#crypto.pbkdf2("password", "salt", 10, 64, "sha512") --> 64
---crypto.pbkdf2("", "salt", 1000, 8) --> nil, Invalid
---crypto.pbkdf2("password", "salt", 0, 8) --> nil, Invalid
---crypto.pbkdf2("password", "salt", 1000, 8, "md5") --> nil, Invalid
---```
---```lua workflow
---crypto.pbkdf2("password", "salt", 1000001, 8) --> nil, Invalid
---```
function crypto.pbkdf2(password, salt, iterations, length, digest) end

---Whether two strings are the same, in a time that does not tell where they differ.
---
---Workflows: pure.
---@param a string
---@param b string
---@return boolean? same
---@return Error? err
---
---```lua
---crypto.constant_time_compare("abc", "abc") --> true
---crypto.constant_time_compare("abc", "abd") --> false
---crypto.constant_time_compare("abc", nil) --> nil, Invalid
---```
function crypto.constant_time_compare(a, b) end

return crypto
