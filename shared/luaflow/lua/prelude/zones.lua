--- Time zones of the IANA list: which offset holds at a moment.
-- The data come from Python as they are in the files of the list (services/zones.py); a workflow
-- records them when it first asks for a zone, and computes from its own copy ever after.
local K = ...
local N = K.native
local T = K.calendar
local match, tonumber, ipairs = N.string.match, N.tonumber, N.ipairs

local Z = {}
K.zones = Z

-- POSIX rules: "EST5EDT,M3.2.0,M11.1.0" ----------------------------------------------------------

local function seconds_of(text)
  local sign, hours, minutes, seconds = match(text, "^([+-]?)(%d+):?(%d*):?(%d*)$")
  local total = tonumber(hours) * 3600 + (tonumber(minutes) or 0) * 60 + (tonumber(seconds) or 0)
  return sign == "-" and -total or total
end

-- A name and what follows it.
local function name_of(text)
  local name, rest = match(text, "^<([^>]+)>(.*)$")
  if name then return name, rest end
  return match(text, "^(%a+)(.*)$")
end

-- "M3.2.0/2": {form, numbers, seconds after midnight}
local function date_of(text)
  local date, clock = match(text, "^([^/]+)/?(.*)$")
  local month, week, day = match(date, "^M(%d+)%.(%d+)%.(%d+)$")
  local julian = match(date, "^J(%d+)$")
  return {
    month = tonumber(month), week = tonumber(week), day = tonumber(day),
    julian = tonumber(julian), zero = tonumber(match(date, "^%d+$")),
    clock = clock ~= "" and seconds_of(clock) or 7200,
  }
end

--- Read a rule; nil for none.
local function rule_of(text)
  if text == "" then return nil end
  local name, rest = name_of(text)
  local offset
  offset, rest = match(rest, "^([+-]?[%d:]+)(.*)$")
  local rule = {offset = -seconds_of(offset), name = name}
  if rest == "" then return rule end
  rule.summer, rest = name_of(rest)
  offset, rest = match(rest, "^([+-]?[%d:]*)(.*)$")
  rule.summer_offset = offset ~= "" and -seconds_of(offset) or rule.offset + 3600
  local first, last = match(rest, "^,([^,]+),([^,]+)$")
  rule.first, rule.last = date_of(first), date_of(last)
  return rule
end

-- Seconds of local time at which a date of a rule comes in a year.
local function moment(date, year)
  local days
  if date.month then
    local first = T.days(year, date.month, 1)
    days = first + (date.day - (first + 4) % 7) % 7 + (date.week - 1) * 7
    if days >= T.days(year, date.month + 1, 1) then days = days - 7 end
  elseif date.julian then
    -- The 29th of February is never counted.
    local leap = T.days(year, 3, 1) - T.days(year, 2, 1) == 29
    days = T.days(year, 1, date.julian + (leap and date.julian >= 60 and 1 or 0))
  else
    days = T.days(year, 1, date.zero + 1)
  end
  return days * 86400 + date.clock
end

local function by_rule(rule, s)
  if not rule.summer then return rule.offset, rule.name end
  local year = T.civil((s + rule.offset) // 86400)
  local first = moment(rule.first, year) - rule.offset
  local last = moment(rule.last, year) - rule.summer_offset
  local summer
  if first < last then summer = s >= first and s < last else summer = s >= first or s < last end
  if summer then return rule.summer_offset, rule.summer end
  return rule.offset, rule.name
end

-- Zones ----------------------------------------------------------------------------------------

--- (offset in seconds, abbreviation) of zone data at a moment.
function Z.at(data, s)
  local at = data.at
  local low, high = 0, #at
  if data.rule and (high == 0 or s >= at[high]) then return by_rule(data.rule, s) end
  while low < high do
    local middle = (low + high + 1) // 2
    if at[middle] <= s then low = middle else high = middle - 1 end
  end
  local kind = data.types[low == 0 and 1 or data.kinds[low]]
  return kind[1], kind[2]
end

--- The offset that an abbreviation stands for near local time `s`, or nil.
function Z.named(data, name, s)
  local any
  for _, kind in ipairs(data.types) do
    if kind[2] == name then
      local _, found = Z.at(data, s - kind[1])
      if found == name then return kind[1] end
      any = any or kind[1]
    end
  end
  return any
end

-- Lists of whole numbers, as Python sent them.
local function data_of(value)
  return {at = value.at, kinds = value.kinds, types = value.types, rule = rule_of(value.rule)}
end

local known = {} -- of functions; a workflow keeps its own, recorded ones

--- The Location of an IANA name, or nil and an error.
function Z.load(name)
  local run = K.run
  local mine = K.kind == "workflow" and (run.zones or {}) or known
  if mine[name] then return mine[name].object end
  local value, err = K.calls.recorded("time.zone", 10000, name)
  if err then return nil, err end
  local zone = T.zone(name)
  zone.data = data_of(value)
  -- Replay does not run a side effect: outside of it the zone is asked for again.
  if not run.pure then
    mine[name] = zone
    if K.kind == "workflow" then run.zones = mine end
  end
  return zone.object
end
