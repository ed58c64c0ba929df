-- drop_worker: a worker incarnation is gone for good: its sticky stream goes, and its name leaves the
-- groups of the queues. What was in the stream moves to the shared queue when its sticky deadline ends
-- (the run's state is the truth, the stream an index); what it had read of a queue is requeued first.
-- KEYS meta stream queues...
-- ARGV server worker
-- Returns {'ok'} | {'busy', tasks it read and nobody requeued yet}
--- include partition

touch()
rcall('DEL', stream_key)
local left = 0
for i = queues, #KEYS do
  -- no such stream or group: nothing to leave
  local read = redis.pcall('XPENDING', KEYS[i], 'w', '-', '+', 100, worker)
  if not read.err then
    left = left + #read
    if #read == 0 then rcall('XGROUP', 'DELCONSUMER', KEYS[i], 'w', worker) end
  end
end
if left > 0 then return { 'busy', left } end
return { 'ok' }
