-- compact_run: the history of a closed run becomes one packed value of its state (see domain/packing), and
-- what nobody asks of a run that is over goes.
-- KEYS meta wf run hist pend gc
-- ARGV server run_id length:int size:int cid head pieces...
-- length, size: the events the packed history has, and the bytes of their bodies; cid: the last commit there
-- was when it was read
-- Returns {'ok'} | {'open'} (still running, or not closed out yet) | {'gone'} | {'done'} (it is, already)
--- include partition

local v = rcall('HMGET', run_key, 'status', 'len', 'past', 'cid', 'ans', 'close', 'ts', 'first', 'next',
  'parent', 'attempt', 'size')
if not v[1] then return { 'gone' } end
if v[1] == 'running' or rcall('HLEN', pend_key) > 0 or tonumber(v[2]) ~= length then return { 'open' } end
if v[3] then return { 'done' } end
-- (another primary may have another end of the same length)
if rcall('XLEN', hist_key) ~= length or tonumber(v[12]) ~= size or (v[4] or '') ~= cid then return { 'open' } end
local w = rcall('HMGET', wf_key, 'run', 'first')
touch()
local over = {
  'turn', 'task', 'worker', 'entry', 'news', 'refused', 'shut', 'lost', 'fails', 'stuck', 'limit', 'due_task',
  'patience', 'unread', 'told', 'told_len', 'timeout', 'sticky'
}
-- what is as it mostly is need not be said (see includes/run.lua)
if v[7] == v[6] then over[#over + 1] = 'ts' end
if v[8] == run_id and not v[9] then over[#over + 1] = 'first' end
if v[10] == '' then over[#over + 1] = 'parent' end
if v[11] == '1' then over[#over + 1] = 'attempt' end
local small = rcall('HLEN', run_key) <= 200
rcall('HDEL', run_key, (unpack or table.unpack)(over))
-- of the answer to a commit that closed it only what its state does not say
local short = string.match(v[5] or '', '^%d+|%d+')
if short and v[5] == table.concat({ short, v[2], v[6], '0' }, '|') then rcall('HSET', run_key, 'ans', short) end
if small then
  -- a hash that once held a long value is stored more compactly when it is written anew
  local left = rcall('HGETALL', run_key)
  rcall('DEL', run_key)
  rcall('HSET', run_key, (unpack or table.unpack)(left))
end
rcall('HSET', run_key, 'past', head)
for i = pieces, #ARGV do rcall('HSET', run_key, string.format('%d', i - pieces), ARGV[i]) end
if w[1] == run_id then
  rcall('HDEL', wf_key, 'queue', 'sticky')
  if w[2] == run_id then rcall('HDEL', wf_key, 'first') end
end
rcall('UNLINK', hist_key, pend_key)
rcall('ZREM', gc_key, 'p|' .. run_id)
return { 'ok' }
