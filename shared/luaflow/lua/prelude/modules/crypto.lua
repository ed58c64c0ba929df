--- The `crypto` module: random values, encryption, signatures, derived keys.
local K = ...
local N = K.native
local A, codec = K.calls, K.codec
local invalid, make_error = K.errors.invalid, K.errors.make
local type, byte, next = N.type, N.string.byte, N.next
local tointeger = N.math.tointeger

local C = {random = {}, hmac = {}, encrypt = {}, decrypt = {}, jwt = {}}

-- Random ---------------------------------------------------------------------------------------

local MAX_RANDOM = 1048576
local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

local function length_of(what, value)
  local n = type(value) == "number" and tointeger(value)
  if n and n >= 1 and n <= MAX_RANDOM then return n end
  return nil, invalid(what .. ": the length must be a whole number from 1 to 1048576")
end

function C.random.bytes(length)
  local n, err = length_of("crypto.random.bytes", length)
  if not n then return nil, err end
  return A.recorded("crypto.random.bytes", n, n)
end

function C.random.string(length, charset)
  local n, err = length_of("crypto.random.string", length)
  if not n then return nil, err end
  if charset == nil then charset = ALPHABET end
  if type(charset) ~= "string" or charset == "" then
    return nil, invalid("crypto.random.string: the charset must be a non-empty string")
  end
  return A.recorded("crypto.random.string", n, n, charset)
end

function C.random.uuid()
  K.scheduler.enter("crypto.random.uuid", true)
  return K.marker("uuid")
end

-- Authentication codes -------------------------------------------------------------------------

for _, digest in N.ipairs({"sha256", "sha512"}) do
  C.hmac[digest] = function(key, data)
    local what = "crypto.hmac." .. digest
    local err = A.check_texts(what, {"key", "data"}, key, data)
    if err then return nil, err end
    if key == "" then return nil, invalid(what .. ": the key must not be empty") end
    return (A.compute("hmac", #key + #data, digest, key, data, false))
  end
end

-- Ciphers --------------------------------------------------------------------------------------

local KEYS = {
  aes = {sizes = {[16] = true, [24] = true, [32] = true}, words = "16, 24 or 32"},
  chacha20 = {sizes = {[32] = true}, words = "32"},
}
local SHORTEST = 12 + 16 -- a nonce, and the tag of an empty text

-- What is wrong with the arguments of a cipher, as an error.
local function check(what, cipher, data, key, aad)
  local err = A.check_texts(what, {"data", "key"}, data, key)
  if err then return err end
  if aad ~= nil and type(aad) ~= "string" then
    return invalid(what .. ": the additional data must be a string")
  end
  local known = KEYS[cipher]
  if not known.sizes[#key] then
    return invalid(what .. ": the key must have " .. known.words .. " bytes")
  end
end

for cipher in next, KEYS do
  C.encrypt[cipher] = function(data, key, aad)
    local err = check("crypto.encrypt." .. cipher, cipher, data, key, aad)
    if err then return nil, err end
    return A.recorded("crypto.encrypt", #data, cipher, data, key, aad)
  end
  C.decrypt[cipher] = function(data, key, aad)
    local what = "crypto.decrypt." .. cipher
    local err = check(what, cipher, data, key, aad)
    if err then return nil, err end
    if #data < SHORTEST then
      return nil, invalid(what .. ": the data is too short to be what encrypt returned")
    end
    return A.compute("decrypt", #data, cipher, data, key, aad)
  end
end

-- Tokens ---------------------------------------------------------------------------------------

-- The JSON of an object; an empty table is one, too.
local function object(value)
  local text, wrong = codec.encode_plain(value)
  if text == "[]" then return "{}" end
  return text, wrong
end

local function bad_key(what, key)
  if type(key) ~= "string" or key == "" then
    return invalid(what .. ": the key must be a non-empty string")
  end
end

function C.jwt.encode(claims, key, algorithm)
  if type(claims) ~= "table" then
    return nil, invalid("crypto.jwt.encode: the payload must be a table")
  end
  local err = bad_key("crypto.jwt.encode", key)
  if err then return nil, err end
  local body, header = {}, {}
  for name, value in K.stable.pairs(claims) do
    if name ~= "_header" then body[name] = value end
  end
  if type(claims._header) == "table" then
    for name, value in K.stable.pairs(claims._header) do header[K.stable.tostring(name)] = value end
  end
  local text, wrong = object(body)
  local head, bad = object(header)
  if not text or not head then
    return nil, make_error("Internal", "crypto.jwt.encode: " .. (wrong or bad), false)
  end
  algorithm = type(algorithm) == "string" and algorithm or "HS256"
  return A.compute("jwt.encode", #text + #head + 10000, text, head, key, algorithm)
end

function C.jwt.verify(token, key, algorithm, require_exp)
  if type(token) ~= "string" or token == "" then
    return nil, invalid("crypto.jwt.verify: the token must be a non-empty string")
  end
  local err = bad_key("crypto.jwt.verify", key)
  if err then return nil, err end
  if algorithm == nil then algorithm = "HS256" end
  if type(algorithm) ~= "string" then
    return nil, invalid("crypto.jwt.verify: the algorithm must be a string")
  end
  return A.recorded("crypto.jwt.verify", #token + 10000, token, key, algorithm, require_exp ~= false)
end

-- The rest -------------------------------------------------------------------------------------

function C.pbkdf2(...) return A.pbkdf2("crypto.pbkdf2", ...) end

--- Whether two strings are the same, in a time that says nothing about where they differ.
function C.constant_time_compare(a, b)
  local err = A.check_texts("crypto.constant_time_compare", {"first value", "second value"}, a, b)
  if err then return nil, err end
  if #a ~= #b then return false end
  local difference = 0
  for i = 1, #a do difference = difference | byte(a, i) ~ byte(b, i) end
  return difference == 0
end

for _, name in N.ipairs({"random", "hmac", "encrypt", "decrypt", "jwt"}) do
  C[name] = K.readonly("crypto." .. name, C[name])
end
K.modules.crypto = K.readonly("crypto", C)
