--- The `metrics` module: counters, gauges and histograms of the app, for Prometheus.
local K = ...
local N = K.native
local S, codec, type, format = K.scheduler, K.codec, N.type, N.string.format
local invalid = K.errors.invalid

local M = {}

local function labels_of(what, labels)
  if labels == nil then return "{}" end
  if type(labels) ~= "table" then return nil, invalid(what .. ": the labels must be a table") end
  local texts, n = {}, 0
  for name, value in K.stable.pairs(labels) do
    if type(name) ~= "string" then
      return nil, invalid(what .. ": the names of labels must be texts")
    end
    texts[name], n = K.stable.tostring(value), n + 1
  end
  return n == 0 and "{}" or (codec.encode_plain(texts))
end

local function report(what, operation, name, value, labels)
  if type(name) ~= "string" or name == "" then
    return nil, invalid(what .. " expects the metric's name")
  end
  if type(value) ~= "number" or value ~= value then
    return nil, invalid(what .. ": the value must be a number")
  end
  local text, err = labels_of(what, labels)
  if not text then return nil, err end
  -- Floats cross as text.
  local done
  done, err = S.service("metrics", operation, name, format("%.17g", value), text)
  if err then return nil, err end
  return done
end

function M.counter_inc(name, labels)
  return report("metrics.counter_inc", "counter", name, 1, labels)
end

function M.counter_add(name, value, labels)
  return report("metrics.counter_add", "counter", name, value, labels)
end

function M.gauge_set(name, value, labels)
  return report("metrics.gauge_set", "gauge_set", name, value, labels)
end

function M.gauge_inc(name, labels)
  return report("metrics.gauge_inc", "gauge_add", name, 1, labels)
end

function M.gauge_dec(name, labels)
  return report("metrics.gauge_dec", "gauge_add", name, -1, labels)
end

function M.histogram(name, value, labels)
  return report("metrics.histogram", "histogram", name, value, labels)
end

K.modules.metrics = K.readonly("metrics", M)
