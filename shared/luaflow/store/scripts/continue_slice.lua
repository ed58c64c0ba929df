-- continue_slice: a slice of a continue-as-new with many messages: at most 500 are copied into the next
-- run's history, those named first, then all after `seen`. The slice that reaches the end closes the
-- old run and opens the next one, in one step; until then the old one takes messages and can be ended.
-- KEYS meta wf run hist pend leases timers vis gc tq newrun newhist newpend
-- ARGV server run_id next_run queue cursor:int
-- cursor: how many slices were made, as it was read together with next_run
-- What is left to do is in pend (see includes/next.lua).
-- Returns {'ok', slices made, 1 if it was the last} | {'changed'} | {'gone'}
--- include partition
--- include run
--- include visible
--- include close
--- include decide
--- include next

local r = load_run()
if not r or r.status ~= 'running' or r.task ~= 'continuing' then
  rcall('ZREM', leases_key, 'n|' .. run_id)
  return { 'gone' }
end
local n = rcall('HMGET', pend_key, 'n:next', 'n:slices', 'n:unread', 'n:from', 'n:at', 'n:len', 'n:size',
  'n:started', 'n:closing', 'n:type', 'n:bundle', 'n:attempt', 'n:run_timeout', 'n:ended', 'n:kind',
  'n:begin', 'n:index', 'n:attrs')
if n[1] ~= next_run or tonumber(n[2]) ~= cursor or r.queue ~= queue then return { 'changed' } end

local list, room = {}, 500
local function carry(e)
  room = room - 1
  if e and MESSAGE[e[2][4]] then list[#list + 1] = { e[2][4], e[2][6] } end
end
local named, first, at = n[3] or '', tonumber(n[4]), tonumber(n[5])
local from = first
for part, stop in string.gmatch(string.sub(named, first), '(%d+)()') do
  if room == 0 then break end
  local id = part .. '-0'
  carry(rcall('XRANGE', hist_key, id, id)[1])
  from = first + stop - 1
end
if room > 0 and at < r.len then
  local low, high = string.format('%d-0', at + 1), string.format('%d-0', r.len)
  local late = rcall('XRANGE', hist_key, low, high, 'COUNT', room)
  at = at + #late
  for _, e in ipairs(late) do carry(e) end
end

touch()
local o = {
  wid = r.wid, first = r.first, type = n[10], queue = queue, bundle = n[11], parent = r.parent, delay = 0,
  attempt = tonumber(n[12]), run_timeout = tonumber(n[13]), at = tonumber(n[16]), index = n[17],
  attrs = n[18], limit = tonumber(rcall('HGET', run_key, 'limit') or '0')
}
local fresh, old_hist = new_run(o), hist_key
fresh.len, fresh.size = tonumber(n[6]), tonumber(n[7])
hist_key = newhist_key
begin_run(fresh, n[8], list)
hist_key = old_hist
if from <= #named or at < r.len then
  rcall('HSET', pend_key, 'n:slices', cursor + 1, 'n:from', from, 'n:at', at, 'n:len', fresh.len,
    'n:size', fresh.size)
  return { 'ok', cursor + 1, 0 }
end
rcall('HDEL', pend_key, 'n:next', 'n:slices', 'n:unread', 'n:from', 'n:at', 'n:len', 'n:size',
  'n:started', 'n:closing', 'n:type', 'n:bundle', 'n:attempt', 'n:run_timeout', 'n:ended', 'n:kind',
  'n:begin', 'n:index', 'n:attrs')
o.deadline = tonumber(rcall('ZSCORE', timers_key, 'X|' .. run_id) or '0')
hand_slot_on(newpend_key)
close_run(r, n[14], n[15], n[9])
save_closed(r)
rcall('HSET', run_key, 'next', next_run)
run_id, run_key, hist_key = next_run, newrun_key, newhist_key
enter_run(fresh, o)
return { 'ok', cursor + 1, 1 }
