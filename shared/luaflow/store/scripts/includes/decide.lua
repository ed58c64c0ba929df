-- May this decision be written? Shared by commit and continue_as_new. Answers nil, or the refusal.
-- The last commit id is recognised before status, turn and everything else (design 5.1).
local function admit(r)
  if not r then return { 'gone' } end
  if r.cid == cid then
    local a, v = {}, rcall('HMGET', run_key, 'ans', 'close')
    for part in string.gmatch(v[1], '[^|]+') do a[#a + 1] = tonumber(part) end
    -- (of a run that is packed the rest stands in its state)
    a[3], a[4], a[5] = a[3] or r.len, a[4] or tonumber(v[2]), a[5] or 0
    local late = {}
    if a[5] == 1 then
      late = rcall('XRANGE', hist_key, seen + 1 .. '-0', a[2] .. '-0',
        'COUNT', 500)
    end
    return { 'ok', a[1], a[2], a[3], a[4], a[5], late }
  end
  if r.status ~= 'running' then return { 'closed', r.status } end
  local expected = mode == 'fused' and '' or 'taken'
  if r.turn ~= turn or r.task ~= expected then return { 'turn' } end
  -- a fail-over that lost the end of the history may give a turn to another worker a second time
  if r.worker ~= worker or r.len < seen then return { 'turn' } end
  if mode == 'fused' and (r.len ~= seen or r.news > 0) then return { 'behind' } end
  return nil
end

-- Events after `seen`: only others write while a decision is made, and all they write is news. At
-- most `limit` come back in a reply (the worker reads the rest); `messages` counts those of these.
local function late_events(r, limit)
  if r.len <= seen then return {}, 0 end
  local from, to = string.format('%d-0', seen + 1), string.format('%d-0', r.len)
  local list = rcall('XRANGE', hist_key, from, to, 'COUNT', limit)
  local messages = 0
  for _, e in ipairs(list) do
    if MESSAGE[e[2][4]] then messages = messages + 1 end
  end
  if #list == limit then messages = messages + 1 end -- there may be more behind
  return list, messages
end
