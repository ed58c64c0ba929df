-- take_workflow: gives a queued workflow task to the worker that read it, with the events it lacks.
-- KEYS meta run hist leases stream
-- ARGV server run_id turn:int worker entry cached_cid cached:int
-- TYPES leases
-- A cached coroutine is of use only if the run's last decision is its own: cached_cid must be it.
-- Returns {'ok', turn, len, now, first, decided, bundle, type, queue, parent, attempt, events from
--   `first` on, 500 at most, failures in a row} | {'gone'}
--- include partition
--- include lend

local v = rcall('HMGET', run_key, 'status', 'len', 'turn', 'task', 'worker', 'cid', 'decided', 'type', 'queue',
  'bundle', 'parent', 'attempt', 'limit', 'fails')
local r = { turn = tonumber(v[3]), task = v[4], worker = v[5], cid = v[6] }
-- (the history is read first: whatever it is, nothing has been written)
local first = 1
if cached_cid ~= '' and cached_cid == r.cid then first = cached + 1 end
local events = v[1] == 'running' and rcall('XRANGE', hist_key, first .. '-0', '+', 'COUNT', 500)
touch()
rcall('XACK', stream_key, 'w', entry)
rcall('XDEL', stream_key, entry)
if v[1] ~= 'running' then return { 'gone' } end
if r.turn == turn and (r.task == 'queued' or r.task == 'sticky') then
  r.turn = r.turn + 1
elseif r.turn ~= turn + 1 or r.task ~= 'taken' or r.worker ~= worker then
  -- (taken by the same worker under the next turn: the answer to its first call was lost)
  return { 'gone' }
end
rcall('HSET', run_key, 'turn', r.turn, 'task', 'taken', 'worker', worker, 'entry', '')
lend(v[13])
return { 'ok', r.turn, tonumber(v[2]), now, first, tonumber(v[7]), v[10], v[8], v[9], v[11], v[12], events,
    tonumber(v[14] or '0') }
