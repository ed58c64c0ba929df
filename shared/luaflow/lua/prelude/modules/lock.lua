--- `workflow.lock`: a durable lock, or semaphore, over all runs of the namespace.
-- The entity that keeps it answers a request with an event. What a run has or waits for goes back
-- when the run closes, however it closes, so nothing here has to.
local K = ...
local N = K.native
local S, codec = K.scheduler, K.codec
local type, math_type, tostring, setmetatable = N.type, N.math.type, N.tostring, N.setmetatable
local invalid, make_error = K.errors.invalid, K.errors.make

local STATE = K.STATE
local MAX_KEY = 200

local Lock, methods = K.class("workflow.Lock")

-- key -> the state of the lock that this run has or waits for
local function locks_of(run)
  local known = run.locks
  if not known then
    known = {}
    run.locks = known
  end
  return known
end

local function check_key(key)
  if type(key) ~= "string" or key == "" then return "workflow.lock: expected a key, a text" end
  if #key > MAX_KEY then return "workflow.lock: the key has more than " .. MAX_KEY .. " bytes" end
  if not N.utf8.len(key) or N.string.find(key, "%c") then
    return "workflow.lock: the key must be UTF-8 without control characters"
  end
end

-- limit, timeout in ns (nil: none); or nil, nil, what is wrong.
local function read_options(options)
  if options == nil then return 1 end
  if type(options) ~= "table" then return nil, nil, "workflow.lock: options must be a table" end
  local limit, timeout = options.limit, options.timeout
  if limit == nil then limit = 1 end
  if math_type(limit) ~= "integer" or limit < 1 or limit > 1000000 then
    return nil, nil, "workflow.lock: limit must be a whole number from 1 to 1000000"
  end
  if timeout == nil then return limit end
  local ns, wrong = K.durations.ns(timeout)
  if not ns then return nil, nil, "workflow.lock: timeout: " .. wrong end
  return limit, ns > 0 and ns or 0
end

-- Give back what was asked for, granted or not; its answer, if one is on its way, is void.
local function give_back(run, lock)
  if locks_of(run)[lock.key] == lock then locks_of(run)[lock.key] = nil end
  lock.over = true
  S.emit("unlock", tostring(lock.seq), nil, (codec.encode({key = lock.key})))
end

-- Nobody waits for the timeout of a request any more.
local function drop_timer(lock)
  if lock.timer and S.forget(lock.timer) then S.emit("cancel_timer", tostring(lock.timer)) end
  lock.timer = false
end

local function start_timer(run, lock, ns)
  lock.timer = S.emit("timer", nil, tostring(ns))
  local task = run.task
  S.on_end(lock.timer, function()
    lock.timer = false
    if not S.forget(lock.seq) then return end -- the answer came first
    give_back(run, lock)
    S.wake(run, task, nil, make_error("Timeout",
      "workflow.lock: '" .. lock.key .. "' was not free in time", false))
  end)
end

local function held_already(key)
  return make_error("Conflict", "workflow.lock: this run has the lock '" .. key .. "', or waits for"
    .. " it, already; locks are not counted: release it first, and use a channel between the"
    .. " coroutines of one run", false)
end

--- Wait for a lock: lock, or nil and an error.
function K.lock(key, options)
  if K.kind ~= "workflow" then
    return nil, invalid("workflow.lock: only available in workflow context")
  end
  local wrong = check_key(key)
  if wrong then return nil, invalid(wrong) end
  local limit, ns, bad = read_options(options)
  if not limit then return nil, invalid(bad) end
  local stop = S.enter("workflow.lock")
  if stop then return nil, stop end
  local run = K.run
  if locks_of(run)[key] then return nil, held_already(key) end
  local extra = codec.encode({limit = limit, wait = ns ~= 0})
  local lock = {key = key, seq = S.emit("lock", key, nil, extra), timer = false, over = false}
  locks_of(run)[key] = lock
  run.task.lock = lock
  if ns and ns > 0 then start_timer(run, lock, ns) end
  local _, err = S.await(lock.seq, "lock")
  if err then
    -- refused: nothing is to be given back; canceled or out of time: that has been done
    if locks_of(run)[key] == lock then locks_of(run)[key] = nil end
    drop_timer(lock)
    return nil, err
  end
  drop_timer(lock)
  return K.stable.own(setmetatable({[STATE] = lock}, Lock))
end

--- Give the lock back; again, or after the end, it changes nothing.
function methods.release(lock)
  local stop = S.enter("lock:release", true)
  if stop then return nil, stop end
  if not lock.over then give_back(K.run, lock) end
  return true
end

-- Cancellation takes the request back, wherever it is by now.
function S.withdraw.lock(run, task)
  S.forget(task.seq)
  drop_timer(task.lock)
  give_back(run, task.lock)
  return true
end
