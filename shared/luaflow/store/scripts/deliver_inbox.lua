-- deliver_inbox: a letter that a run sent to a process of a node; nobody is answered, whether the node
-- is there or not.
-- KEYS meta inbox mark
-- ARGV server sender number:int sender_epoch:int oldest:int read_on limit:int letter
-- Returns {'ok'} | {'no'} (there is no such node) | {'duplicate'} | {'gap'}
--- include partition
--- include arrival

local verdict = arrival()
if verdict then return { verdict } end
touch()
local there = rcall('XADD', inbox_key, 'NOMKSTREAM', 'MAXLEN', limit, '*', 'e', letter)
arrived()
return { there and 'ok' or 'no' }
