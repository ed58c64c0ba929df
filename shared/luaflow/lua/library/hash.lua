---@meta

---Checksums. A last argument `true` asks for bytes instead of hex.
---@class hash
local hash = {}

---The MD5 sum of `data`, in hex; with `raw` its 16 bytes.
---
---Workflows: pure.
---@param data string
---@param raw? boolean
---@return string? sum
---@return Error? err
---
---```lua
---hash.md5("hello") --> "5d41402abc4b2a76b9719d911017c592"
---#hash.md5("hello", true) --> 16
---hash.md5(1) --> nil, Invalid
---```
function hash.md5(data, raw) end

---The SHA-1 sum of `data`, in hex; with `raw` its 20 bytes.
---
---Workflows: pure.
---@param data string
---@param raw? boolean
---@return string? sum
---@return Error? err
---
---```lua
---hash.sha1("hello") --> "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
---#hash.sha1("hello", true) --> 20
---hash.sha1(1) --> nil, Invalid
---```
function hash.sha1(data, raw) end

---The SHA-256 sum of `data`, in hex; with `raw` its 32 bytes.
---
---Workflows: pure.
---@param data string
---@param raw? boolean
---@return string? sum
---@return Error? err
---
---```lua
---hash.sha256("hello") --> "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
---#hash.sha256("hello", true) --> 32
---hash.sha256(1) --> nil, Invalid
---```
function hash.sha256(data, raw) end

---The SHA-512 sum of `data`, in hex; with `raw` its 64 bytes.
---
---Workflows: pure.
---@param data string
---@param raw? boolean
---@return string? sum
---@return Error? err
---
---```lua
---hash.sha512("hello") --> "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
---#hash.sha512("hello", true) --> 64
---hash.sha512(1) --> nil, Invalid
---```
function hash.sha512(data, raw) end

---The authentication code of `data` by HMAC and MD5. The data comes first, the secret second:
---`crypto.hmac` takes them the other way round.
---
---Workflows: pure.
---@param data string
---@param secret string
---@param raw? boolean
---@return string? code
---@return Error? err
---
---```lua
---hash.hmac_md5("hello", "key") --> "04130747afca4d79e32e87cf2104f087"
---#hash.hmac_md5("hello", "key", true) --> 16
---hash.hmac_md5("hello") --> nil, Invalid
---```
function hash.hmac_md5(data, secret, raw) end

---The authentication code of `data` by HMAC and SHA-1. The data comes first, the secret second:
---`crypto.hmac` takes them the other way round.
---
---Workflows: pure.
---@param data string
---@param secret string
---@param raw? boolean
---@return string? code
---@return Error? err
---
---```lua
---hash.hmac_sha1("hello", "key") --> "b34ceac4516ff23a143e61d79d0fa7a4fbe5f266"
---#hash.hmac_sha1("hello", "key", true) --> 20
---hash.hmac_sha1("hello") --> nil, Invalid
---```
function hash.hmac_sha1(data, secret, raw) end

---The authentication code of `data` by HMAC and SHA-256. The data comes first, the secret second:
---`crypto.hmac` takes them the other way round.
---
---Workflows: pure.
---@param data string
---@param secret string
---@param raw? boolean
---@return string? code
---@return Error? err
---
---```lua
---hash.hmac_sha256("hello", "key") --> "9307b3b915efb5171ff14d8cb55fbcc798c6c0ef1456d66ded1a6aa723a58b7b"
---#hash.hmac_sha256("hello", "key", true) --> 32
---hash.hmac_sha256("hello") --> nil, Invalid
---```
function hash.hmac_sha256(data, secret, raw) end

---The authentication code of `data` by HMAC and SHA-512. The data comes first, the secret second:
---`crypto.hmac` takes them the other way round.
---
---Workflows: pure.
---@param data string
---@param secret string
---@param raw? boolean
---@return string? code
---@return Error? err
---
---```lua
---hash.hmac_sha512("hello", "key") --> "ff06ab36757777815c008d32c8e14a705b4e7bf310351a06a23b612dc4c7433e7757d20525a5593b71020ea2ee162d2311b247e9855862b270122419652c0c92"
---#hash.hmac_sha512("hello", "key", true) --> 64
---hash.hmac_sha512("hello") --> nil, Invalid
---```
function hash.hmac_sha512(data, secret, raw) end

---The FNV-1 sum of `data`, a whole number of 32 bits.
---
---Workflows: pure.
---@param data string
---@return integer? sum
---@return Error? err
---
---```lua
---hash.fnv32("hello") --> 3069866343
---hash.fnv32(1) --> nil, Invalid
---```
function hash.fnv32(data) end

---The FNV-1 sum of `data`, a whole number of 64 bits. Sums of 2^63 and more are negative.
---
---Workflows: pure.
---@param data string
---@return integer? sum
---@return Error? err
---
---```lua
---hash.fnv64("hello") --> 8883723591023973575
---hash.fnv64(1) --> nil, Invalid
---```
function hash.fnv64(data) end

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
---hash.pbkdf2("password", "salt", 1000, 8) --> "\x63\x2c\x28\x12\xe4\x6d\x46\x04"
---#hash.pbkdf2("password", "salt", 10, 64, "sha512") --> 64
---hash.pbkdf2("", "salt", 1000, 8) --> nil, Invalid
---hash.pbkdf2("password", "salt", 0, 8) --> nil, Invalid
---hash.pbkdf2("password", "salt", 1000, 8, "md5") --> nil, Invalid
---```
---```lua workflow
---hash.pbkdf2("password", "salt", 1000001, 8) --> nil, Invalid
---```
function hash.pbkdf2(password, salt, iterations, length, digest) end

return hash
