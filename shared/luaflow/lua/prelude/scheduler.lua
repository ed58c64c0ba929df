--- The FIFO scheduler: coroutines of a run, what they wait for, and the commands they give.
local K = ...
local N = K.native
local raise, make_error = K.raise, K.errors.make
local create, resume, last_words = K.guard.create, K.guard.resume, K.guard.last_words
local status, can_wait = N.coroutine.status, K.guard.can_wait
local select, unpack = N.select, N.table.unpack
local system_yield = K.system_yield

local S = {}
K.scheduler = S

-- The most commands of one activation: more is a loop that forgot to wait.
local MAX_COMMANDS = 100000
-- The commands of one decision: its script stops the whole server while it writes them.
local MAX_DECISION = 500

-- Tasks ----------------------------------------------------------------------------------------

local function push(run, task)
  local tail = run.tail + 1
  run.tail = tail
  run.queue[tail] = task
end

--- Queue a new coroutine of the run; `f` gets the arguments.
function S.spawn(run, f, ...)
  local n = select("#", ...)
  local body = f
  if n > 0 then
    local args = {...}
    body = function() return f(unpack(args, 1, n)) end
  end
  local id = run.last_task + 1
  run.last_task = id
  local parent = run.task
  -- `blocked` names what the task waits for; `shield` > 0 keeps cancellation away; `got` is the
  -- message it was woken with.
  local task = {
    co = create(body), id = id, blocked = false, shield = parent and parent.shield or 0,
    a = nil, b = nil, seq = 0, waiter = false, mail = false, rechecks = false,
    before = run.newest, after = false, got = false, perform = false,
  }
  if run.newest then run.newest.after = task else run.oldest = task end
  run.newest = task
  push(run, task)
  return task
end

-- A task ended: take it out of the list of living ones.
local function bury(run, task)
  local before, after = task.before, task.after
  if before then before.after = after else run.oldest = after end
  if after then after.before = before else run.newest = before end
end

--- End the wait of a task: it continues with (a, b) when its turn comes.
function S.wake(run, task, a, b)
  task.blocked, task.mail = false, false
  task.a, task.b = a, b
  push(run, task)
end

--- Refuse what must not happen in code that replay does not run again.
function S.impure(what)
  raise(what .. " is not allowed inside " .. K.run.pure)
end

--- Refuse to wait where a C function stands between here and the scheduler.
function S.waitable(what)
  if not can_wait() then
    raise(what .. " cannot wait inside a callback of the library"
      .. " (string.gsub, table.sort, a metamethod): call it outside")
  end
end

--- Check that the running code may give commands; the Canceled error if it must not wait.
-- `at_once`: the call does not wait, so cancellation does not concern it.
function S.enter(what, at_once)
  local run = K.run
  if run.pure then S.impure(what) end
  if not at_once and not can_wait() then S.waitable(what) end
  if run.nout >= MAX_COMMANDS * 5 then
    raise("more than " .. MAX_COMMANDS .. " commands without waiting: work in smaller parts")
  end
  S.room(run)
  if run.interrupted and not at_once and run.task.shield == 0 then return S.obey(run) end
end

--- Pause where the decision is full and code can be paused.
function S.room(run)
  if run.given >= MAX_DECISION and K.kind == "workflow" and can_wait() then S.pause(run) end
end

--- The same for a wait that gives no command. It never pauses: what was looked at before still
-- holds when the wait begins.
function S.may_wait(what)
  local run = K.run
  if not can_wait() then S.waitable(what) end
  if run.interrupted and run.task.shield == 0 then return S.obey(run) end
end

--- Suspend the running task until `wake`; returns what `wake` was given.
function S.block(what)
  K.run.task.blocked = what
  return system_yield()
end

--- The decision is full: the running task goes on in the next one.
function S.pause(run)
  run.paused[#run.paused + 1] = run.task
  run.task.blocked = "next decision"
  system_yield()
end

--- The next decision has begun: those who found the last one full go on, in order.
function S.unpause(run)
  local paused = run.paused
  run.paused = {}
  for i = 1, #paused do S.wake(run, paused[i]) end
end

-- Commands -------------------------------------------------------------------------------------

-- What one activation may ask of Python on the way: ids, versions, in functions the time.
local MAX_SERVICES = 100000

-- Remember where in the code a command was given: only a replay that looks for a difference asks.
local function trace(run, seq)
  local co = run.task and run.task.co
  if not co then return end -- the kernel gives it itself: a ticker, a cancel request
  run.last_line = K.position_of(status(co) == "suspended" and co or nil)
  run.lines[seq] = run.last_line
end

--- Record a command; returns its number.
function S.emit(op, name, data, extra)
  local run = K.run
  if run.pure then S.impure("a command") end
  local seq, n, out = run.seq + 1, run.nout, run.out
  if run.lines then trace(run, seq) end
  run.seq, run.nout, run.given = seq, n + 5, run.given + 1
  out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5] = op, seq, name, data, extra
  return seq
end

--- Let `task` wait for the outcome of command `seq`.
local function hold(run, task, seq, what)
  run.pending[seq] = task
  run.npending = run.npending + 1
  task.seq = seq
  task.blocked = what
end
S.hold = hold

--- Wait for the outcome of command `seq`: value or nil, error.
function S.await(seq, what)
  local run = K.run
  hold(run, run.task, seq, what)
  return system_yield()
end

--- Let the scheduler call `perform(run, task, ...)`: it holds or wakes the task, or returns true and
-- what the task goes on with at once.
-- The count hook slows user coroutines down; the scheduler runs without it.
function S.request(perform, ...)
  local task = K.run.task
  task.blocked, task.perform = "request", perform
  return system_yield(...)
end

--- Call `entry.ended(ok, value, entry)` when command `seq` ends.
function S.expect(seq, entry)
  local run = K.run
  run.pending[seq] = entry
  run.npending = run.npending + 1
end

--- Call `ended(ok, value)` when command `seq` ends.
function S.on_end(seq, ended)
  S.expect(seq, {ended = ended})
end

--- Forget command `seq`: its end will be ignored. True if it was pending.
function S.forget(seq)
  local run = K.run
  if not run.pending[seq] then return false end
  run.pending[seq] = nil
  run.npending = run.npending - 1
  return true
end

--- The outcome of command `seq` arrived.
function S.resolve(run, seq, ok, value)
  local entry = run.pending[seq]
  if not entry then return end
  run.pending[seq] = nil
  run.npending = run.npending - 1
  if entry.co then
    if ok then S.wake(run, entry, value) else S.wake(run, entry, nil, value) end
  else
    entry.ended(ok, value, entry)
  end
end

--- Ask Python, inside the activation; returns its answers.
function S.service(name, ...)
  local run = K.run
  if run.alone then S.impure("this call") end
  S.waitable("this call")
  -- Each answer begins a new budget, so asking is counted.
  run.asked = run.asked + 1
  if run.asked > MAX_SERVICES then
    raise("more than " .. MAX_SERVICES .. " calls of this kind without waiting: work in smaller parts")
  end
  run.service = {n = select("#", ...), name, ...}
  run.service_task = run.task
  run.task.blocked = "service"
  return system_yield()
end

-- Running --------------------------------------------------------------------------------------

local function finish(run, task, ok, ...)
  if run.ended then return end
  if not ok then
    bury(run, task)
    return run.fail(run, K.errors.raised(last_words((...), task.co), task.co))
  end
  if status(task.co) ~= "dead" then
    return run.fail(run, make_error("Internal",
      K.position_of(task.co) .. ": attempt to yield from outside a coroutine"))
  end
  bury(run, task)
  if task == run.main then run.complete(run, ...) end
end

local go_on

local function after(run, task, ok, ...)
  -- A task that waits has said so; anything else is its end.
  if not ok or not task.blocked then return finish(run, task, ok, ...) end
  local perform = task.perform
  if perform then
    task.perform = false
    if status(task.co) ~= "suspended" then return finish(run, task, ok, ...) end
    return go_on(run, task, perform(run, task, ...))
  end
end

function go_on(run, task, at_once, ...)
  if at_once then
    task.blocked = false
    return after(run, task, resume(task.co, ...))
  end
end

--- Run everything that can run; `first` (if any) goes before the queue.
function S.drive(run, first)
  local queue = run.queue
  while true do
    local task = first
    if task then
      first = nil
    else
      local head = run.head
      if head > run.tail then
        -- An empty queue starts over, so that its slots are used again.
        run.head, run.tail = 1, 0
        if not S.recheck(run) then break end
        head = run.head
      end
      task = queue[head]
      queue[head] = nil
      run.head = head + 1
    end
    run.task = task
    run.progress = run.progress or not task.rechecks
    local a, b = task.a, task.b
    task.a, task.b, task.blocked = nil, nil, false
    if task.got then
      K.mailbox.taken(run, task.got)
      task.got = false
    end
    after(run, task, resume(task.co, a, b))
    if run.ended or run.service then break end
  end
  run.task = nil
end
