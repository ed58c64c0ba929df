-- Ends a run: its last event, its index entries, the date of its removal; what still waits is void
-- from here on because its status is checked wherever it is used, and is cleaned by a closing task. The
-- caller saves the state: `save_closed`, or together with what else it writes.
local function close_run(r, status, kind, body)
  append(r, kind, body)
  r.task, r.status = '', status
  rcall('HSET', wf_key, 'status', status, 'sticky', '')
  rcall('ZREM', vis_key, vis_member('status', 'running', r.start))
  rcall('ZADD', vis_key, 0, vis_member('status', status, r.start))
  rcall('ZREM', leases_key, 'w|' .. run_id, 'n|' .. run_id)
  rcall('ZREM', timers_key, 'x|' .. run_id, 'X|' .. run_id, 'd|' .. run_id, 'f|' .. run_id,
    'g|' .. run_id)
  local kept = rcall('HMGET', meta_key, 'retention', 'settle')
  local goes, settles = server_now + tonumber(kept[1] or '604800000'), tonumber(kept[2] or '60000')
  if settles > 0 then
    rcall('ZADD', gc_key, goes, run_id, server_now + settles, 'p|' .. run_id)
  else
    rcall('ZADD', gc_key, goes, run_id)
  end
  if rcall('HLEN', pend_key) > 0 then set_lease('z|' .. run_id, server_now) end
  local told = #body <= 65536 and body or ''
  rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'done:' .. run_id, kind .. '\n' .. told)
end

local function save_closed(r)
  save_run(r)
  rcall('HSET', run_key, 'status', r.status, 'close', now)
end

-- A run that another one of its chain follows leaves its slot (see domain/flow.py) to that one; before it
-- closes.
local function hand_slot_on(to)
  local slot = rcall('HGET', pend_key, 'c:0')
  if not slot then return end
  rcall('HDEL', pend_key, 'c:0')
  rcall('HSET', to, 'c:0', slot)
end

-- The fields of a closing event that list messages no code took (design 3, 5): `ids`, those the run
-- sent itself in its last decision, and the events of `late`. '>' at the end of `ids`, and `at`, the last
-- event looked at: there are more, and `unread_after` stands for them.
local function listed(r, ids, late, at)
  local more = string.sub(ids, -1) == '>'
  local unread = { ids ~= '' and (more and string.sub(ids, 1, -2) or ids) or nil }
  for _, m in ipairs(r.own or {}) do unread[#unread + 1] = m[3] end
  for _, e in ipairs(late) do
    if MESSAGE[e[2][4]] then unread[#unread + 1] = string.match(e[1], '^%d+') end
  end
  local after = more and string.match(ids, '(%d+)>$') or at < r.len and at
  return (after and '"unread_after":' .. after .. ',' or '') .. '"unread":[' .. table.concat(unread, ',') .. ']'
end

-- Ends a body given without its last brace: what was not taken of what decisions saw, and what none saw.
local function with_unread(r, body)
  -- (a run that was continuing as new has named those that were on their way into the next one)
  local ids = rcall('HGET', pend_key, 'n:unread') or rcall('HGET', run_key, 'unread') or ''
  local first, last = string.format('%d-0', r.decided + 1), string.format('%d-0', r.len)
  local late = r.len > r.decided and rcall('XRANGE', hist_key, first, last, 'COUNT', 500) or {}
  return body .. (#body > 1 and ',' or '') .. listed(r, ids, late, r.decided + #late) .. '}'
end
