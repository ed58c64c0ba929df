-- keep_inbox: the inbox of a node is there, and stays for a while; made anew where it is gone.
-- KEYS meta inbox
-- ARGV server ttl:int
-- Returns {'made'} | {'kept'}
--- include partition

touch()
local made = rcall('EXISTS', inbox_key) == 0
-- a group that nobody reads with: the one way to make a stream that holds nothing
if made then rcall('XGROUP', 'CREATE', inbox_key, 'made', '$', 'MKSTREAM') end
rcall('PEXPIRE', inbox_key, ttl)
return { made and 'made' or 'kept' }
