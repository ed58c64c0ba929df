-- ask_again: a request of a run was lost in a fail-over, or its answer: it is made once more.
-- KEYS meta run pend leases outbox
-- ARGV server seq record len:int receiver sent:int message
-- record, len: what the run waits for and how long its history was when that was read; sent: the number
-- of the last message to that receiver then: nobody else has asked since
-- Returns {'ok', number} | {'void'}
--- include partition
--- include outbox

local v = rcall('HMGET', run_key, 'status', 'len')
if v[1] ~= 'running' or tonumber(v[2]) ~= len then return { 'void' } end
if rcall('HGET', pend_key, 'c:' .. seq) ~= record then return { 'void' } end
if tonumber(rcall('HGET', meta_key, 'out:' .. receiver) or '0') ~= sent then return { 'void' } end
touch()
return { 'ok', post(outbox_key, receiver, message) }
