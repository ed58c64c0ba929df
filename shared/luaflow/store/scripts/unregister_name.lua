-- unregister_name: a name of the namespace is free again, if it is this process's; '' = whoever's it is.
-- KEYS meta name
-- ARGV server pid
-- Returns {'ok', 1: it was registered, 0: it was not}
--- include partition

local owner = rcall('HGET', name_key, 'pid')
if not owner or (pid ~= '' and owner ~= pid) then return { 'ok', 0 } end
touch()
rcall('DEL', name_key)
return { 'ok', 1 }
