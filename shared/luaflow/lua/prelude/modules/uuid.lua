--- The `uuid` module: random ones come from history, the rest is computed.
local K = ...
local N = K.native
local type, match, gsub, lower, sub = N.type, N.string.match, N.string.gsub,
  N.string.lower, N.string.sub
local tonumber = N.tonumber
local invalid = K.errors.invalid

local U = {}

for name, marker in N.next, {v1 = "uuid1", v4 = "uuid", v7 = "uuid7"} do
  U[name] = function()
    K.scheduler.enter("uuid." .. name, true)
    return K.marker(marker)
  end
end

-- 32 hex digits of any accepted form, or nil.
local function digits(text)
  if type(text) ~= "string" then return nil end
  text = lower(text)
  text = match(text, "^urn:uuid:(.+)$") or match(text, "^{(.+)}$") or text
  local plain = match(text, "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$")
  if plain then return (gsub(plain, "-", "")) end
  return #text == 32 and match(text, "^%x+$") or nil
end

local function dashed(hex)
  return (gsub(hex, "^(........)(....)(....)(....)(............)$", "%1-%2-%3-%4-%5"))
end

-- Named ones need a hash: Python computes it; the same answer at any time.
for _, version in N.ipairs({"v3", "v5"}) do
  U[version] = function(namespace, name)
    local hex = digits(namespace)
    if not hex or type(name) ~= "string" then
      return nil, invalid("uuid." .. version .. " expects a namespace UUID and a name")
    end
    return (K.calls.compute("uuid", #name, version, hex, name))
  end
end

local function parsed(text)
  local hex = digits(text)
  if not hex then return nil, invalid("not a UUID: " .. sub(K.stable.tostring(text), 1, 60)) end
  return hex
end

function U.validate(text)
  return digits(text) ~= nil, nil
end

function U.version(text)
  local hex, err = parsed(text)
  if not hex then return nil, err end
  return tonumber(sub(hex, 13, 13), 16)
end

function U.variant(text)
  local hex, err = parsed(text)
  if not hex then return nil, err end
  local bits = tonumber(sub(hex, 17, 17), 16)
  if bits < 8 then return "Reserved" end -- for NCS, which came before RFC 4122
  if bits < 12 then return "RFC4122" end
  return bits < 14 and "Microsoft" or "Future"
end

-- Seconds since 1970 inside a v1 or v7 UUID.
local function timestamp(hex, version)
  if version == 7 then return tonumber(sub(hex, 1, 12), 16) // 1000 end
  local ticks = tonumber(sub(hex, 14, 16) .. sub(hex, 9, 12) .. sub(hex, 1, 8), 16)
  return (ticks - 0x01B21DD213814000) // 10000000
end

function U.parse(text)
  local hex, err = parsed(text)
  if not hex then return nil, err end
  local version = U.version(text)
  local result = {version = version, variant = U.variant(text)}
  if version == 1 or version == 7 then result.timestamp = timestamp(hex, version) end
  if version == 1 then result.node = sub(hex, 21) end
  return result
end

local FORMS = {
  standard = dashed, simple = function(hex) return hex end,
  urn = function(hex) return "urn:uuid:" .. dashed(hex) end,
}

function U.format(text, form)
  local hex, err = parsed(text)
  if not hex then return nil, err end
  local write = FORMS[form == nil and "standard" or form]
  if not write then return nil, invalid('uuid.format expects "standard", "simple" or "urn"') end
  return write(hex)
end

K.modules.uuid = K.readonly("uuid", U)
