--- The state of a run: one table, made at once with a place for everything.
-- A table that grows is copied at each doubling, and opening a run is on the hot path.
local K = ...
local N = K.native
local decode = K.codec.decode

--- A fresh run. `info` is JSON and read when code first asks; `run_id` seeds its random numbers.
function K.new_run(run_id, info)
  return {
    run_id = run_id, info_text = info, info = false, lines = false, last_line = "",
    log_replay = false, replaying = false,
    -- where in time it is; how it ended
    now = 0, length = 0, size = 0, started_ns = 0,
    ended = false, status = false, answer = nil, unread_ids = false, where = nil,
    fail = false, complete = false, finish = false, pcall = K.guard.pcall,
    options = {trap_links = false, interrupt_on_cancel = false, upgradable = false},
    -- coroutines, and what they wait for
    queue = {}, head = 1, tail = 0, oldest = false, newest = false, last_task = 0, task = nil,
    main = false, pending = {}, npending = 0, awaiting = {}, progress = false, paused = {},
    service = nil, service_task = nil, asked = 0,
    rows = false, row = 0, -- outcomes that were fed together; how many numbers of them are through
    interrupted = false, request = false, cancel_requested = false, pure = false, pure_env = false,
    -- commands
    seq = 0, out = {}, nout = 0, given = 0,
    versions = {}, starting = {}, children = {}, local_activities = {},
    -- messages and handlers
    listeners = {}, kept = {}, inbox = false, events = false, unread = {}, arrived = {},
    mail_changed = false, updates = {}, received = 0, took = 0, looks = false, open_updates = 0,
    ahead = {}, ahead_first = 1, ahead_last = 0,
    queries = {}, update_handlers = {}, views = {}, handler_count = 0, view_count = 0,
    notes = false, alone = false, said = false,
    -- lines of the log, code
    logs = {}, nlogs = 0, ctx_text = {}, env = false, loaded = {}, loading = {},
  }
end

--- What is known of a run: its ids, its type, its queue.
function K.info_of(run)
  if not run.info then run.info = decode(run.info_text) end
  return run.info
end

--- Note which activities run inside the workflow task: a JSON array of entry ids.
function K.keep_locals(run, ids)
  for _, id in N.ipairs(decode(ids)) do run.local_activities[id] = true end
end
