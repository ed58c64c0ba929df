-- take_workflow: gives a queued workflow task to the worker that read it, with the events it lacks.
-- KEYS meta run hist leases stream
-- ARGV server run_id turn:int worker entry cached_cid cached:int
-- A cached coroutine is of use only if the run's last decision is its own: cached_cid must be it.
-- Returns {'ok', turn, len, now, first, decided, bundle, type, queue, parent, attempt, events from
--   `first` on, 500 at most, failures in a row} | {'gone'}
--- include partition
--- include run
--- include lend

local r = load_run()
touch()
rcall('XACK', stream_key, 'w', entry)
rcall('XDEL', stream_key, entry)
if not r or r.status ~= 'running' then return { 'gone' } end
if r.turn == turn and (r.task == 'queued' or r.task == 'sticky') then
  r.turn = r.turn + 1
elseif r.turn ~= turn + 1 or r.task ~= 'taken' or r.worker ~= worker then
  -- (taken by the same worker under the next turn: the answer to its first call was lost)
  return { 'gone' }
end
rcall('HSET', run_key, 'turn', r.turn, 'task', 'taken', 'worker', worker, 'entry', '')
local first = 1
if cached_cid ~= '' and cached_cid == r.cid then first = cached + 1 end
local events = rcall('XRANGE', hist_key, string.format('%d-0', first), '+', 'COUNT', 500)
local more = rcall('HMGET', run_key, 'bundle', 'parent', 'attempt', 'limit')
lend(more[4])
return { 'ok', r.turn, r.len, now, first, r.decided, more[1], r.type, r.queue, more[2], more[3], events,
    r.fails }
