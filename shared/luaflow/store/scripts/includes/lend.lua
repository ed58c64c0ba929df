-- A worker has the task: for a lease, which it renews, and no longer than a task may take.
local function lend(limit)
  local due = server_now + lease_ms
  if limit then
    limit = tonumber(limit)
    rcall('HSET', run_key, 'due_task', server_now + limit)
    due = math.min(due, server_now + limit)
  end
  set_lease('w|' .. run_id, due)
end
