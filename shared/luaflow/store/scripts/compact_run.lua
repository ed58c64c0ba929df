-- compact_run: the history of a closed run becomes one packed value of its state (see domain/packing), and
-- what nobody asks of a run that is over goes.
-- KEYS meta run hist pend gc
-- ARGV server run_id length:int head pieces...
-- length: the events the packed history has
-- Returns {'ok'} | {'open'} (still running, or not closed out yet) | {'gone'} | {'done'} (it is, already)
--- include partition

local v = rcall('HMGET', run_key, 'status', 'len', 'past')
if not v[1] then return { 'gone' } end
if v[1] == 'running' or rcall('HLEN', pend_key) > 0 or tonumber(v[2]) ~= length then return { 'open' } end
if v[3] then return { 'done' } end
if rcall('XLEN', hist_key) ~= length then return { 'open' } end
touch()
local over = {
  'turn', 'task', 'worker', 'entry', 'news', 'refused', 'shut', 'lost', 'fails', 'stuck', 'limit', 'due_task',
  'patience', 'unread', 'told', 'told_len', 'timeout'
}
local small = rcall('HLEN', run_key) <= 200
rcall('HDEL', run_key, (unpack or table.unpack)(over))
rcall('HSET', run_key, 'sticky', '')
if small then
  -- a hash that once held a long value is stored more compactly when it is written anew
  local left = rcall('HGETALL', run_key)
  rcall('DEL', run_key)
  rcall('HSET', run_key, (unpack or table.unpack)(left))
end
rcall('HSET', run_key, 'past', head)
for i = pieces, #ARGV do rcall('HSET', run_key, 'past:' .. (i - pieces), ARGV[i]) end
rcall('UNLINK', hist_key, pend_key)
rcall('ZREM', gc_key, 'p|' .. run_id)
return { 'ok' }
