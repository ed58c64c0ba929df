-- register_name: a name of the namespace belongs to a process, for a while; said again, it stays.
-- KEYS meta name
-- ARGV server pid ttl:int
-- Returns {'ok'} | {'taken', pid of its owner}
--- include partition

local owner = rcall('HGET', name_key, 'pid')
if owner and owner ~= pid then return { 'taken', owner } end
touch()
rcall('HSET', name_key, 'pid', pid)
rcall('PEXPIRE', name_key, ttl)
return { 'ok' }
