-- Ends a run: its last event, its index entries, the date of its removal; what still waits is void
-- from here on because its status is checked wherever it is used, and is cleaned by a closing task.
local function close_run(r, status, kind, body)
  append(r, kind, body)
  r.task, r.status = '', status
  save_run(r)
  rcall('HSET', run_key, 'status', status, 'close', now)
  rcall('HSET', wf_key, 'status', status, 'sticky', '')
  rcall('ZREM', vis_key, vis_member('status', 'running', r.start))
  rcall('ZADD', vis_key, 0, vis_member('status', status, r.start))
  rcall('ZREM', leases_key, 'w|' .. run_id, 'n|' .. run_id)
  rcall('ZREM', timers_key, 'x|' .. run_id, 'X|' .. run_id, 'd|' .. run_id, 'f|' .. run_id)
  rcall('ZADD', gc_key, server_now + tonumber(M[9] or '604800000'), run_id)
  if rcall('HLEN', pend_key) > 0 then set_lease('z|' .. run_id, server_now) end
  local told = #body <= 65536 and body or ''
  rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'done:' .. run_id, kind .. '\n' .. told)
end

-- Ends a body given without its last brace: the messages that no code took are listed (design 3, 5).
-- At most 500 events are looked at, and `unread_after` stands for the rest: every message behind it.
local function with_unread(r, body)
  -- (of a run that was continuing as new also those that were on their way into the next one)
  local unread = { rcall('HGET', pend_key, 'n:unread') or nil }
  local first, last = string.format('%d-0', r.decided + 1), string.format('%d-0', r.len)
  local late = r.len > r.decided and rcall('XRANGE', hist_key, first, last, 'COUNT', 500) or {}
  for _, e in ipairs(late) do
    local t = e[2][4]
    if t == 'WorkflowExecutionSignaled' or t == 'WorkflowExecutionUpdateAdmitted'
        or t == 'WorkflowExecutionCancelRequested' then
      unread[#unread + 1] = string.match(e[1], '^%d+')
    end
  end
  local at = r.decided + #late
  local after = at < r.len and '"unread_after":' .. at .. ',' or ''
  return body .. (#body > 1 and ',' or '') .. after .. '"unread":[' .. table.concat(unread, ',') .. ']}'
end
