-- remove_run: the retention of a closed run is over: every key of it goes.
-- KEYS meta wf run hist pend gc vis
-- ARGV server run_id
-- Returns {'ok'} | {'open'} (still running, or not closed out yet) | {'early'} | {'gone'}
--- include partition
--- include visible

local due = tonumber(rcall('ZSCORE', gc_key, run_id))
if not due then return { 'gone' } end
if due > server_now then return { 'early' } end
local v = rcall('HMGET', run_key, 'status', 'start', 'type', 'index')
if v[1] == 'running' or rcall('HLEN', pend_key) > 0 then return { 'open' } end
touch()
rcall('ZREM', gc_key, run_id, 'p|' .. run_id)
if v[1] then
  local start = tonumber(v[2])
  rcall('ZREM', vis_key, vis_member('status', v[1], start), vis_member('type', v[3], start))
  remove_attributes(v[4] or '', start)
end
if rcall('HGET', wf_key, 'run') == run_id then rcall('DEL', wf_key) end
rcall('UNLINK', run_key, hist_key, pend_key)
return { 'ok' }
