-- shift_clock: namespace time moves forward (tests, simulated namespaces); it never goes back.
-- KEYS meta
-- ARGV server ms:int simulated:int
-- simulated 0: adds to the offset; 1: advances the virtual server clock
-- Returns {'ok', namespace now}
--- include partition

touch()
rcall('HINCRBY', meta_key, simulated == 1 and 'vtime' or 'offset', math.max(ms, 0))
rcall('HDEL', meta_key, 'wake')
rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'bell', server_now)
return { 'ok', now + math.max(ms, 0) }
