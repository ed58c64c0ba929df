--- Go's time layouts: formatting and parsing by example ("2006-01-02 15:04:05").
local K = ...
local N = K.native
local T = K.calendar
local sub, format, match, lower, rep = N.string.sub, N.string.format, N.string.match,
  N.string.lower, N.string.rep
local tonumber = N.tonumber

local L = {}
K.layouts = L

local MONTHS = {"January", "February", "March", "April", "May", "June", "July", "August",
  "September", "October", "November", "December"}
local DAYS = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
DAYS[0] = "Sunday"
L.months, L.days = MONTHS, DAYS

-- Longest first where one begins with another.
local TOKENS = {
  "January", "Jan", "Monday", "Mon", "MST", "2006", "-07:00:00", "-07:00", "-0700", "-07",
  "Z07:00", "Z0700", "Z07", "002", "01", "02", "03", "04", "05", "06", "15", "PM", "pm", "__2",
  "_2", "1", "2", "3", "4", "5",
}

-- Split a layout once: a list of {token} and literal texts.
local cache, cached = {}, 0
local function split(layout)
  local found = cache[layout]
  if found then return found end
  local parts, literal, i = {}, "", 1
  while i <= #layout do
    local token = match(layout, "^[.,][09]+", i)
    if token and (match(layout, "^%d", i + #token) or match(token, "0") and match(token, "9")) then
      token = nil
    end
    if not token then
      for k = 1, #TOKENS do
        local candidate = TOKENS[k]
        if sub(layout, i, i + #candidate - 1) == candidate then
          token = candidate
          break
        end
      end
      -- "January" inside a longer word is no month: Go wants no small letter after "Jan".
      if token == "Jan" and match(layout, "^%l", i + 3) then token = nil end
      if token == "Mon" and match(layout, "^%l", i + 3) then token = nil end
    end
    if token then
      if literal ~= "" then parts[#parts + 1] = literal end
      literal = ""
      parts[#parts + 1] = {token}
      i = i + #token
    else
      literal = literal .. sub(layout, i, i)
      i = i + 1
    end
  end
  if literal ~= "" then parts[#parts + 1] = literal end
  if cached < 200 and #layout <= 100 then cache[layout], cached = parts, cached + 1 end
  return parts
end

local function zone_text(token, offset)
  if sub(token, 1, 1) == "Z" then
    if offset == 0 then return "Z" end
    token = "-" .. sub(token, 2)
  end
  if token == "-07" then return sub(T.offset_text(offset, ""), 1, 3) end
  if token == "-07:00:00" then return T.offset_text(offset, ":") .. format(":%02d", N.math.abs(offset) % 60) end
  return T.offset_text(offset, token == "-07:00" and ":" or "")
end

local WRITE = {
  January = function(p) return MONTHS[p.month] end,
  Jan = function(p) return sub(MONTHS[p.month], 1, 3) end,
  Monday = function(p) return DAYS[p.weekday] end,
  Mon = function(p) return sub(DAYS[p.weekday], 1, 3) end,
  ["2006"] = function(p) return format("%04d", p.year) end,
  ["06"] = function(p) return format("%02d", p.year % 100) end,
  ["01"] = function(p) return format("%02d", p.month) end,
  ["1"] = function(p) return format("%d", p.month) end,
  ["02"] = function(p) return format("%02d", p.day) end,
  ["_2"] = function(p) return format("%2d", p.day) end,
  ["2"] = function(p) return format("%d", p.day) end,
  ["002"] = function(p) return format("%03d", p.year_day) end,
  ["__2"] = function(p) return format("%3d", p.year_day) end,
  ["15"] = function(p) return format("%02d", p.hour) end,
  ["03"] = function(p) return format("%02d", (p.hour + 11) % 12 + 1) end,
  ["3"] = function(p) return format("%d", (p.hour + 11) % 12 + 1) end,
  ["04"] = function(p) return format("%02d", p.minute) end,
  ["4"] = function(p) return format("%d", p.minute) end,
  ["05"] = function(p) return format("%02d", p.second) end,
  ["5"] = function(p) return format("%d", p.second) end,
  PM = function(p) return p.hour >= 12 and "PM" or "AM" end,
  pm = function(p) return p.hour >= 12 and "pm" or "am" end,
}

--- The text of a Time's state in a layout.
function L.format(t, layout)
  local p, parts, out = T.parts(t), split(layout), {}
  for i = 1, #parts do
    local part = parts[i]
    local token = part[1]
    if N.type(part) == "string" then
      out[i] = part
    elseif WRITE[token] then
      out[i] = WRITE[token](p)
    elseif token == "MST" then
      local name = p.abbreviation
      out[i] = name ~= "" and name or zone_text("-0700", p.offset)
    elseif match(token, "^[.,]") then
      local digits = sub(format("%09d", p.nanosecond), 1, #token - 1)
      if sub(token, 2, 2) == "9" then digits = match(digits, "^(.-)0*$") end
      out[i] = digits ~= "" and sub(token, 1, 1) .. digits or ""
    else
      out[i] = zone_text(token, p.offset)
    end
  end
  return N.table.concat(out)
end

-- Parsing --------------------------------------------------------------------------------------

local function word_of(list, short)
  return function(p, text, i, field)
    for k = 1, #list do
      local word = short and sub(list[k], 1, 3) or list[k]
      if lower(sub(text, i, i + #word - 1)) == lower(word) then
        p[field] = k
        return i + #word
      end
    end
  end
end

local function digits(field, pattern, low, high)
  return function(p, text, i)
    local found = match(text, pattern, i)
    local number = found and tonumber(match(found, "%d+"))
    if not number or number < low or number > high then return nil end
    p[field] = number
    return i + #found
  end
end

local function half(p, text, i)
  local word = lower(sub(text, i, i + 1))
  if word ~= "am" and word ~= "pm" then return nil end
  p.half = word
  return i + 2
end

local READ = {
  January = function(p, text, i) return word_of(MONTHS)(p, text, i, "month") end,
  Jan = function(p, text, i) return word_of(MONTHS, true)(p, text, i, "month") end,
  Monday = function(p, text, i) return word_of(DAYS)(p, text, i, "weekday") end,
  Mon = function(p, text, i) return word_of(DAYS, true)(p, text, i, "weekday") end,
  ["2006"] = digits("year", "^%d%d%d%d", 0, 9999), ["06"] = digits("short", "^%d%d", 0, 99),
  ["01"] = digits("month", "^%d%d", 1, 12), ["1"] = digits("month", "^%d%d?", 1, 12),
  ["02"] = digits("day", "^%d%d", 1, 31), ["2"] = digits("day", "^%d%d?", 1, 31),
  ["_2"] = digits("day", "^ ?%d%d?", 1, 31), ["002"] = digits("yday", "^%d%d%d", 1, 366),
  ["__2"] = digits("yday", "^ ? ?%d+", 1, 366), ["15"] = digits("hour", "^%d%d?", 0, 23),
  ["03"] = digits("hour", "^%d%d", 0, 12), ["3"] = digits("hour", "^%d%d?", 0, 12),
  ["04"] = digits("minute", "^%d%d", 0, 59), ["4"] = digits("minute", "^%d%d?", 0, 59),
  ["05"] = digits("second", "^%d%d", 0, 59), ["5"] = digits("second", "^%d%d?", 0, 59),
  PM = half, pm = half,
}

local function read_zone(p, token, text, i)
  if token == "MST" then
    local name = match(text, "^%u%u%u%u?%u?", i)
    if not name then return nil end
    p.zone_name = name
    return i + #name
  end
  if sub(token, 1, 1) == "Z" and sub(text, i, i) == "Z" then
    p.offset = 0
    return i + 1
  end
  local pattern = rep("(%d%d)", 1)
  if token ~= "-07" and token ~= "Z07" then
    pattern = pattern .. (match(token, ":") and ":" or "") .. "(%d%d)"
  end
  if token == "-07:00:00" then pattern = pattern .. ":(%d%d)" end
  local sign = match(text, "^[+-]", i)
  local hours, minutes, seconds = match(text, "^" .. pattern, i + 1)
  if not sign or not hours then return nil end
  p.offset = tonumber(hours) * 3600 + (tonumber(minutes) or 0) * 60 + (tonumber(seconds) or 0)
  if sign == "-" then p.offset = -p.offset end
  return i + #match(text, "^" .. N.string.gsub(pattern, "[()]", ""), i + 1) + 1
end

local function read_fraction(p, text, i)
  local found = match(text, "^[.,](%d+)", i)
  if not found then return i end
  p.nanos = tonumber(sub(found .. "000000000", 1, 9))
  return i + #found + 1
end

-- The Time of local seconds, in the zone that the text names, or else in `location`.
local function placed(seconds, p, location)
  local nanos = p.nanos or 0
  if p.offset then
    local s = seconds - p.offset
    if location and T.offset_at(location, s) == p.offset then return T.make(s, nanos, location) end
    return T.make(s, nanos, p.offset == 0 and T.utc or T.zone(p.zone_name or "", p.offset))
  end
  local name = p.zone_name
  if not name or name == "UTC" or name == "GMT" and not location then
    return T.from_local(seconds, nanos, not name and location or T.utc)
  end
  local zone = location or T.utc
  local offset = zone.data and K.zones.named(zone.data, name, seconds)
  if zone.abbreviation == name and zone.offset then offset = zone.offset end
  if offset then return T.make(seconds - offset, nanos, zone) end
  -- As in Go: an unknown abbreviation has no known offset.
  return T.make(seconds, nanos, T.zone(name, 0))
end

local function assemble(p, location)
  local year = p.year or p.short and (p.short >= 69 and 1900 or 2000) + p.short or 0
  local hour = p.hour or 0
  if p.half == "pm" and hour < 12 then hour = hour + 12 end
  if p.half == "am" and hour == 12 then hour = 0 end
  local month, day = p.month or 1, p.day or 1
  local days = T.days(year, month, day)
  local _, same_month, same_day = T.civil(days)
  if same_month ~= month or same_day ~= day then return nil, "day out of range" end
  if p.yday then days = T.days(year, 1, 1) + p.yday - 1 end
  local seconds = days * 86400 + hour * 3600 + (p.minute or 0) * 60 + (p.second or 0)
  return placed(seconds, p, location)
end

--- The Time a text means in a layout, or nil and a message.
function L.parse(layout, text, location)
  local p, parts, i = {}, split(layout), 1
  for k = 1, #parts do
    local part = parts[k]
    local token, after = part[1], nil
    if N.type(part) == "string" then
      if sub(text, i, i + #part - 1) == part then after = i + #part end
    elseif READ[token] then
      after = READ[token](p, text, i)
      -- Go takes a fraction after the seconds even where the layout names none.
      local following = parts[k + 1]
      local named = N.type(following) == "table" and match(following[1], "^[.,]")
      if after and (token == "05" or token == "5") and not named then
        after = read_fraction(p, text, after)
      end
    elseif match(token, "^[.,]") then
      after = read_fraction(p, text, i)
      if sub(token, 2, 2) == "0" and after == i then after = nil end
    else
      after = read_zone(p, token, text, i)
    end
    if not after then
      return nil, format('cannot parse "%s" as "%s": "%s" does not fit at character %d',
        sub(text, 1, 60), layout, token or part, i)
    end
    i = after
  end
  if i <= #text then
    return nil, format('cannot parse "%s": extra text "%s"', sub(text, 1, 60), sub(text, i, i + 20))
  end
  local t, wrong = assemble(p, location)
  if not t then return nil, format('cannot parse "%s": %s', sub(text, 1, 60), wrong) end
  return t
end

function T.methods.format(t, layout)
  if N.type(layout) ~= "string" then K.raise("time: format expects a layout") end
  return L.format(t, layout)
end
