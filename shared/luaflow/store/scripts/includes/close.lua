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

-- Ends a body given without its last brace: the messages no decision has seen are listed (design 3, 5).
local function with_unread(r, body)
  -- (of a run that was continuing as new also those that were on their way into the next one)
  local unread = { rcall('HGET', pend_key, 'n:unread') or nil }
  -- a page at a time: bodies may be large, and all of them are listed
  for from = r.decided + 1, r.len, 500 do
    local first, last = string.format('%d-0', from), string.format('%d-0', from + 499)
    for _, e in ipairs(rcall('XRANGE', hist_key, first, last, 'COUNT', 500)) do
      local t = e[2][4]
      if t == 'WorkflowExecutionSignaled' or t == 'WorkflowExecutionUpdateAdmitted'
          or t == 'WorkflowExecutionCancelRequested' then
        unread[#unread + 1] = string.match(e[1], '^%d+')
      end
    end
  end
  return body .. (#body > 1 and ',' or '') .. '"unread":[' .. table.concat(unread, ',') .. ']}'
end
