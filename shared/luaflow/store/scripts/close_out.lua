-- close_out: a slice of the closing task of a run: what it still waited for is cleaned, children are
-- told what their parent's end means for them (parent close policy), each once.
-- KEYS meta run pend leases timers outboxes...
-- ARGV server run_id items...
-- items: a field of pend to delete, then key index, receiver, message of the child to tell (0: nobody);
-- of n:next the key is the history that was being made for the next run: it goes, too
-- Returns {'ok', fields left} | {'open'}
--- include partition
--- include outbox

if rcall('HGET', run_key, 'status') == 'running' then return { 'open' } end
touch()
for i = items, #ARGV, 4 do
  local kind, seq = string.match(ARGV[i], '^(%a):(.+)$')
  -- a field that is gone was cleaned by another scheduler, who told the child
  if rcall('HDEL', pend_key, ARGV[i]) == 1 and kind then
    local tail = run_id .. '|' .. seq
    if kind == 'a' then
      rcall('ZREM', leases_key, 'a|' .. tail, 's|' .. tail)
      rcall('ZREM', timers_key, 'r|' .. tail, 'c|' .. tail)
    elseif kind == 't' then
      rcall('ZREM', timers_key, 't|' .. tail)
    end
    if ARGV[i] == 'n:next' then
      rcall('UNLINK', KEYS[tonumber(ARGV[i + 1])])
    elseif ARGV[i + 1] ~= '0' then
      post(KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 3])
    end
  end
end
local left = rcall('HLEN', pend_key)
if left == 0 then rcall('ZREM', leases_key, 'z|' .. run_id) end
return { 'ok', left }
