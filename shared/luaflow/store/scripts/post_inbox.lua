-- post_inbox: a process of another node sends a letter to one of this inbox's node. At most once: the
-- oldest letters go where too many wait, and an inbox that is gone is not made again.
-- KEYS meta inbox sess
-- ARGV server session request:int lowest:int limit:int letter
-- Returns {'ok'} | {'gone'}
--- include partition
--- include session

if repeated() then return { 'ok' } end
if rcall('EXISTS', inbox_key) == 0 then return { 'gone' } end
touch()
remember()
rcall('XADD', inbox_key, 'NOMKSTREAM', 'MAXLEN', limit, '*', 'e', letter)
return { 'ok' }
