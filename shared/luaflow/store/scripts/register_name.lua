-- register_name: a name of the namespace belongs to a process, for a while; said again, it stays.
-- KEYS meta name
-- ARGV server pid ttl:int
-- Returns {'ok'} | {'taken', pid of its owner}
--- include partition

local owner = rcall('GET', name_key)
if owner and owner ~= pid then return { 'taken', owner } end
touch()
rcall('SET', name_key, pid, 'PX', ttl)
return { 'ok' }
