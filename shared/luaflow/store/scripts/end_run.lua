-- end_run: a run is ended from outside: terminated, or out of time (kind x: run, X: execution).
-- KEYS meta wf run hist pend sess timers leases vis gc outbox
-- ARGV server session request:int lowest:int run_id kind status type body receiver message
-- body is JSON without its last brace: the messages nobody saw are listed behind it. receiver ''
-- means nobody is told; message is complete.
-- Returns {'ok', event id} | {'closed', status} | {'early'} | {'gone'}
--- include partition
--- include session
--- include run
--- include outbox
--- include visible
--- include close

if repeated() then return { 'ok', 0 } end
local r = load_run()
if not r then return { 'gone' } end
if r.status ~= 'running' then
  if kind ~= '' then rcall('ZREM', timers_key, kind .. '|' .. run_id) end
  return { 'closed', r.status }
end
if kind ~= '' then
  local due = tonumber(rcall('ZSCORE', timers_key, kind .. '|' .. run_id))
  if not due or due > now then return { 'early' } end
end
touch()
remember()
if receiver ~= '' then post(outbox_key, receiver, message) end
close_run(r, status, type, with_unread(r, body))
save_closed(r)
return { 'ok', r.len }
