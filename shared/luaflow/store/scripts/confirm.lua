-- confirm: a write that means nothing but that there was one: what WAIT counts. An answer may rest on
-- an earlier write of somebody else (a repeat, a duplicate), and WAIT after a mere read proves nothing.
-- KEYS meta
-- ARGV server
-- Returns {'ok'}

redis.call('HINCRBY', meta_key, 'confirmed', 1)
return { 'ok' }
