-- From a run to the next one of its workflow id: continue-as-new, workflow retry, cron. n is what ends
-- the one and opens the other: ended kind closing (its status, last event and that one's body); next
-- type bundle attempt run_timeout started at index attrs (see open.lua; at is absolute here).
-- Its slot (see close.lua) goes with it: newpend_key is that of the next run.
-- pend has it while messages pass on in slices, as n:<name>; and n:slices, how many were made; n:unread
-- (ids, from the byte n:from on); n:at, the last event looked at; n:len and n:size of the new history.
--- include open

local function begins(at)
  return at < 0 and now - at or at
end

-- More messages than a script may move: the run is `continuing`, continue_slice does the rest.
local function pass_in_slices(r, n, named, seen)
  r.task, r.entry = 'continuing', ''
  if r.sticky ~= '' then rcall('HSET', wf_key, 'sticky', '') end
  r.sticky = ''
  rcall('HDEL', run_key, 'refused', 'shut', 'lost', 'fails', 'stuck', 'unread')
  rcall('HSET', pend_key, 'n:next', n.next, 'n:slices', 0, 'n:from', 1, 'n:at', seen, 'n:len', 0,
    'n:size', 0, 'n:started', n.started, 'n:closing', n.closing, 'n:type', n.type, 'n:bundle', n.bundle,
    'n:attempt', n.attempt, 'n:run_timeout', n.run_timeout, 'n:ended', n.ended, 'n:kind', n.kind,
    'n:begin', n.at, 'n:index', n.index, 'n:attrs', n.attrs)
  if named ~= '' then rcall('HSET', pend_key, 'n:unread', named) end
  rcall('ZREM', leases_key, 'w|' .. run_id)
  set_lease('n|' .. run_id, server_now)
  save_run(r)
end

-- Closes the run and opens the next one, which has the same place in the world: its parent, its
-- execution deadline.
local function pass_on(r, n, list)
  local deadline, parent = rcall('ZSCORE', timers_key, 'X|' .. run_id), r.parent
  local limit = tonumber(rcall('HGET', run_key, 'limit') or '0')
  hand_slot_on(newpend_key)
  close_run(r, n.ended, n.kind, n.closing)
  save_closed(r)
  rcall('HSET', run_key, 'next', n.next)
  run_id, run_key, hist_key = n.next, newrun_key, newhist_key
  open_run({
    wid = r.wid, first = r.first, type = n.type, queue = r.queue, bundle = n.bundle, parent = parent,
    attempt = n.attempt, delay = 0, run_timeout = n.run_timeout, deadline = tonumber(deadline or '0'),
    at = n.at, index = n.index, attrs = n.attrs, limit = limit
  }, n.started, list)
end
