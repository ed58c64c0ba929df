-- retry_run: a run that is out of its run timeout closes, and the next run of its chain opens in the same
-- step: it is tried again, or its cron goes on. Messages nobody took pass on, as in continue_as_new.
-- KEYS meta wf run hist pend leases timers vis gc tq newrun newhist newpend
-- ARGV server run_id queue next_run type bundle attempt:int run_timeout:int started closing ended kind at:int index attrs
-- Returns {'ok', event id} | {'closed', status} | {'early'} | {'full'} (see head_room) | {'moved', run, queue, sticky} | {'gone'}
--- include partition
--- include run
--- include visible
--- include close
--- include next

local r = load_run()
if not r then return { 'gone' } end
if r.status ~= 'running' then
  rcall('ZREM', timers_key, 'x|' .. run_id)
  return { 'closed', r.status }
end
local due = tonumber(rcall('ZSCORE', timers_key, 'x|' .. run_id))
-- (one that is on its way into the next run anyway gets there soon)
if not due or due > now or r.task == 'continuing' then return { 'early' } end
-- no memory for another run: it is tried again
if rcall('HGET', meta_key, 'full') then return { 'full' } end
if r.queue ~= queue then return { 'moved', run_id, r.queue, r.sticky } end

-- What the code has not taken of what decisions saw, and what none saw. Behind a '>' there are more than
-- are named: what may have been taken of those passes on rather than what may not is lost.
local named = rcall('HGET', run_key, 'unread') or ''
local seen = tonumber(string.match(named, '(%d+)>$')) or r.decided
named = string.gsub(named, '>$', '')
local list, room = {}, 500
local function carry(e)
  if e and MESSAGE[e[2][4]] then list[#list + 1] = { e[2][4], e[2][6] } end
end
for part in string.gmatch(named, '%d+') do
  if room == 0 then break end
  room = room - 1
  local id = part .. '-0'
  carry(rcall('XRANGE', hist_key, id, id)[1])
end
local late = rcall('XRANGE', hist_key, string.format('%d-0', seen + 1), '+', 'COUNT', 501)
local sliced = #late > room
if not sliced then
  for _, e in ipairs(late) do carry(e) end
end

touch()
local n = {
  next = next_run, type = type, bundle = bundle, attempt = attempt, run_timeout = run_timeout,
  started = started, closing = closing, ended = ended, kind = kind, at = begins(at), index = index,
  attrs = attrs
}
if sliced then
  -- its time is over: nobody decides any more, and no timer of it is due
  rcall('ZREM', timers_key, 'x|' .. run_id, 'd|' .. run_id, 'f|' .. run_id, 'g|' .. run_id)
  pass_in_slices(r, n, named, seen)
else
  pass_on(r, n, list)
end
return { 'ok', r.len }
