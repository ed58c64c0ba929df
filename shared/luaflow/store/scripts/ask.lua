-- ask: leaves a question about a run (a query, an update for its validator) for the workers of a queue;
-- what nobody takes goes by itself.
-- KEYS asks
-- ARGV server text limit:int ms:int
-- Returns {'ok', how many wait} | {'full'}
typed()
if redis.call('LLEN', asks_key) >= limit then return { 'full' } end
local n = redis.call('RPUSH', asks_key, text)
redis.call('PEXPIRE', asks_key, ms)
return { 'ok', n }
