-- drop_worker: a worker incarnation is gone for good: the tasks in its sticky stream go to the shared
-- queues, each under a new turn; then the stream goes, and its name leaves the groups of the queues.
-- KEYS meta leases sticky any...
-- ARGV server worker tasks...
-- tasks: entry, run, queue of what was read of the stream, at most 500; any: wf, run and shared queue of
-- each, then the streams of queues. A task that its run does not have there (any more) is only removed.
-- Returns {'ok'} | {'more', tasks left in the stream} | {'busy', tasks it read and nobody requeued yet}
--- include partition
local run_id, wf_key, run_key, tq_key
--- include run

local queues = any
for i = tasks, #ARGV, 3 do
  rcall('HLEN', KEYS[queues])
  rcall('HLEN', KEYS[queues + 1])
  rcall('XLEN', KEYS[queues + 2])
  queues = queues + 3
end
for i = queues, #KEYS do rcall('XLEN', KEYS[i]) end

touch()
local key = any
for i = tasks, #ARGV, 3 do
  run_id, wf_key, run_key, tq_key = ARGV[i + 1], KEYS[key], KEYS[key + 1], KEYS[key + 2]
  key = key + 3
  local r = load_run()
  if r and r.status == 'running' and r.task == 'sticky' and r.entry == ARGV[i]
      and not moved(r, ARGV[i + 2], worker) then
    rcall('HSET', wf_key, 'sticky', '')
    rcall('ZREM', leases_key, 'w|' .. run_id)
    r.sticky, r.task = '', ''
    schedule(r)
    save_run(r)
  end
  rcall('XDEL', sticky_key, ARGV[i])
end
local more = rcall('XLEN', sticky_key)
if more > 0 then return { 'more', more } end
rcall('DEL', sticky_key)

local left = 0
for i = queues, #KEYS do
  -- no such stream or group: nothing to leave
  local read = redis.pcall('XPENDING', KEYS[i], 'w', '-', '+', 100, worker)
  if not read.err then
    left = left + #read
    -- with the name would go what it had read: that is requeued first
    if #read == 0 then rcall('XGROUP', 'DELCONSUMER', KEYS[i], 'w', worker) end
  end
end
if left > 0 then return { 'busy', left } end
return { 'ok' }
