--- The `hash` and `base64` modules: fixed algorithms, the same answer everywhere.
local K = ...
local N = K.native
local A, invalid = K.calls, K.errors.invalid
local type, byte, gsub = N.type, N.string.byte, N.string.gsub
local tointeger = N.math.tointeger

local H = {}

for _, name in N.ipairs({"md5", "sha1", "sha256", "sha512"}) do
  H[name] = function(data, raw)
    local err = A.check_texts("hash." .. name, {"data"}, data)
    if err then return nil, err end
    return (A.compute("hash", #data, name, data, raw and true or false))
  end
  H["hmac_" .. name] = function(data, secret, raw)
    local err = A.check_texts("hash.hmac_" .. name, {"data", "secret"}, data, secret)
    if err then return nil, err end
    return (A.compute("hmac", #data + #secret, name, secret, data, raw and true or false))
  end
end

-- FNV-1 is short enough for Lua itself; the 64 bits wrap into a signed integer.
local function fnv(data, basis, prime, mask)
  local value = basis
  for i = 1, #data do value = (value * prime & mask) ~ byte(data, i) end
  return value
end

function H.fnv32(data)
  local err = A.check_texts("hash.fnv32", {"data"}, data)
  if err then return nil, err end
  return fnv(data, 0x811C9DC5, 0x01000193, 0xFFFFFFFF)
end

function H.fnv64(data)
  local err = A.check_texts("hash.fnv64", {"data"}, data)
  if err then return nil, err end
  return fnv(data, 0xCBF29CE484222325, 0x100000001B3, -1)
end

-- Iterations of a workflow's activation: about a second of work, beside its own budget.
local MAX_ITERATIONS, WORKFLOW_ITERATIONS, MAX_LENGTH = 10000000, 1000000, 1048576
local DIGESTS = {sha256 = 32, sha512 = 64}

local function whole(value, low, high)
  local n = type(value) == "number" and tointeger(value)
  if n and n >= low and n <= high then return n end
end

--- PBKDF2, for `hash` and `crypto`: the key's bytes, or nil and an error.
function A.pbkdf2(what, password, salt, iterations, length, digest)
  local err = A.check_texts(what, {"password", "salt"}, password, salt)
  if err then return nil, err end
  if password == "" or salt == "" then
    return nil, invalid(what .. ": the password and the salt must not be empty")
  end
  local rounds = whole(iterations, 1, MAX_ITERATIONS)
  if not rounds then return nil, invalid(what .. ": the iterations must be 1 to 10000000") end
  local size = whole(length, 1, MAX_LENGTH)
  if not size then return nil, invalid(what .. ": the key length must be 1 to 1048576") end
  digest = digest == nil and "sha256" or digest
  if not DIGESTS[digest] then return nil, invalid(what .. ': the hash is "sha256" or "sha512"') end
  -- Each piece of the key takes all iterations.
  local work = rounds * ((size - 1) // DIGESTS[digest] + 1)
  if K.kind ~= "workflow" then
    if work > MAX_ITERATIONS then
      return nil, invalid(what .. ": so long a key takes more than 10000000 iterations in all")
    end
    return A.io("pbkdf2", digest, password, salt, rounds, size)
  end
  if work > WORKFLOW_ITERATIONS then
    return nil, invalid(what .. ": more than 1000000 iterations in a workflow: do it in an activity")
  end
  return (A.compute("pbkdf2", work * 90, digest, password, salt, rounds, size))
end

function H.pbkdf2(...) return A.pbkdf2("hash.pbkdf2", ...) end

K.modules.hash = K.readonly("hash", H)

-- base64 ---------------------------------------------------------------------------------------

local B = {}

function B.encode(data)
  local err = A.check_texts("base64.encode", {"data"}, data)
  if err then return nil, err end
  return K.text.base64(data)
end

function B.decode(text)
  local err = A.check_texts("base64.decode", {"text"}, text)
  if err then return nil, err end
  -- Line breaks are no part of it, as in Go.
  local data = K.decoder.base64((gsub(text, "[\r\n]", "")))
  if not data then return nil, invalid("base64.decode: this is not standard padded base64") end
  return data
end

K.modules.base64 = K.readonly("base64", B)
