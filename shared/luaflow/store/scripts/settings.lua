-- settings: this partition's copy of the namespace's settings, and of nothing else.
-- KEYS meta
-- ARGV server version:int fields...
-- Returns {'ok', 1 if it was newer}

-- The clock is not touched: the settings may say that it is a simulated one, and time never goes back.
local rcall = redis.call
if tonumber(rcall('HGET', meta_key, 'version') or '-1') >= version then return { 'ok', 0 } end
rcall('HSET', meta_key, 'version', version, (unpack or table.unpack)(ARGV, fields))
return { 'ok', 1 }
