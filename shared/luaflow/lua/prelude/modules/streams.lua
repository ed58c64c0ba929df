--- Streams of bytes that Python holds open: read in pieces, or token by token.
local K = ...
local N = K.native
local A = K.calls
local setmetatable, math_type = N.setmetatable, N.math.type
local find, sub, byte = N.string.find, N.string.sub, N.string.byte
local STATE, own, invalid = K.STATE, K.stable.own, K.errors.invalid

local Stream, methods = K.class("stream")

--- The stream of a number that Python gave.
function K.stream(id)
  return own(setmetatable({[STATE] = {id = id, position = 0, open = true}}, Stream))
end

local function read(s, size)
  local chunk, err = A.io("http_client.read", s.id, size)
  if err then return nil, err end
  if chunk then s.position = s.position + #chunk end
  return chunk, nil
end

function methods.read(s, size)
  if size ~= nil and (math_type(size) ~= "integer" or size < 0) then
    return nil, invalid("stream:read expects a number of bytes")
  end
  return read(s, size or 0)
end

function methods.close(s)
  s.open = false
  local done, err = A.io("http_client.close", s.id)
  if err then return nil, err end
  return done
end

function methods.stat(s)
  return {size = -1, position = s.position, readable = s.open, writable = false, seekable = false}
end

local function cannot(what)
  return function()
    return nil, K.errors.make("Internal", "stream:" .. what .. ": this stream can only be read", false)
  end
end
methods.write, methods.seek, methods.flush = cannot("write"), cannot("seek"), cannot("flush")

-- Tokens ---------------------------------------------------------------------------------------

local LONGEST = 65536 -- bytes of a token

-- Each takes (buffer, where to begin, whether nothing follows) and returns the token and where the
-- next one begins, or nothing when more is needed.
local SPLIT = {}

function SPLIT.lines(buffer, at, last)
  local stop = find(buffer, "\n", at, true)
  if not stop and not (last and at <= #buffer) then return nil end
  local line = sub(buffer, at, (stop or #buffer + 1) - 1)
  if byte(line, -1) == 13 then line = sub(line, 1, -2) end
  return line, (stop or #buffer) + 1
end

function SPLIT.words(buffer, at, last)
  local start = find(buffer, "%S", at)
  if not start then return nil end
  local stop = find(buffer, "%s", start)
  if not stop and not last then return nil end
  return sub(buffer, start, (stop or #buffer + 1) - 1), (stop or #buffer) + 1
end

function SPLIT.bytes(buffer, at)
  if at <= #buffer then return sub(buffer, at, at), at + 1 end
end

function SPLIT.runes(buffer, at, last)
  local lead = byte(buffer, at)
  if not lead then return nil end
  local size = lead >= 240 and 4 or lead >= 224 and 3 or lead >= 192 and 2 or 1
  if at + size - 1 > #buffer and not last then return nil end
  local rune = sub(buffer, at, at + size - 1)
  if N.utf8.len(rune) == 1 then return rune, at + size end
  return "\u{FFFD}", at + 1
end

local Scanner, scanner_methods = K.class("stream.Scanner")

function methods.scanner(s, split)
  if split == nil then split = "lines" end
  if not SPLIT[split] then
    return nil, invalid('stream:scanner expects "lines", "words", "bytes" or "runes"')
  end
  local scanner = {
    stream = s, split = SPLIT[split], buffer = "", at = 1, last = false, text = "", failure = false,
  }
  return own(setmetatable({[STATE] = scanner}, Scanner))
end

--- Go on to the next token: true, false at the end, or false and an error.
function scanner_methods.scan(c)
  while not c.failure do
    local token, following = c.split(c.buffer, c.at, c.last)
    if token then
      c.text, c.at = token, following
      return true, nil
    end
    if c.last then break end
    c.buffer, c.at = sub(c.buffer, c.at), 1
    if #c.buffer > LONGEST then
      c.failure = K.errors.make("Internal", "scanner: a token has more than 65536 bytes", false)
      break
    end
    local chunk, err = read(c.stream, 0)
    if err then c.failure = err end
    if chunk then c.buffer = c.buffer .. chunk else c.last = true end
  end
  c.text = ""
  return false, c.failure or nil
end

function scanner_methods.text(c) return c.text end
function scanner_methods.err(c) return c.failure and K.stable.tostring(c.failure) or nil end
