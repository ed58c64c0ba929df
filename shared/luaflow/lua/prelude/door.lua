--- The only door: opening a run, feeding it one event at a time, closing it.
local K = ...
local N = K.native
local S, mailbox, codec, load = K.scheduler, K.mailbox, K.codec, K.load
local pcall, select, type, tostring, unpack = N.pcall, N.select, N.type, N.tostring, N.table.unpack
local decode = codec.decode
local begin, finish, worn = K.guard.begin, K.guard.finish, K.guard.worn
local make_error = K.errors.make

local cpu_seconds, memory_bytes

--- Set what holds for every run of this engine.
function K.configure(kind, entry_id, cpu, memory, total)
  K.libs.place = kind .. "s"
  K.kind, K.entry_id, cpu_seconds, memory_bytes = kind, entry_id, cpu, memory
  K.guard.limit_total(total)
end

function K.guard.coroutine.spawn(f)
  if type(f) ~= "function" then K.raise("coroutine.spawn expects a function") end
  local run = K.run
  S.waitable("coroutine.spawn")
  if run.pure then S.impure("coroutine.spawn") end
  local task = S.spawn(run, f)
  -- The child stands in the queue before its parent.
  S.wake(run, run.task)
  run.task.blocked = "spawn"
  K.system_yield()
  return task.co
end

-- The end of a run -----------------------------------------------------------------------------

local function end_run(run, status)
  if run.ended then return end
  run.ended, run.status = true, status
  local mail = run.arrived[1] or run.ahead_first <= run.ahead_last
  run.unread_ids = mail and status ~= "continued"
    and N.table.concat(mailbox.unread_ids(run), ",") or ""
  run.queue, run.head, run.tail, run.pending, run.npending = {}, 1, 0, {}, 0
end

local function fail(run, e)
  if run.ended then return end
  run.answer = codec.encode_failure(e)
  end_run(run, "failed")
end

local function complete(run, value, second)
  local e = K.errors.returned(second)
  if e then return fail(run, K.errors.raised(e, run.main.co)) end
  local text, wrong
  if run.replaying then wrong = codec.problem(value) else text, wrong = codec.encode(value) end
  if wrong then
    return fail(run, make_error("Invalid", "the result of " .. K.entry_id .. ": " .. wrong, false))
  end
  run.answer = text
  end_run(run, "done")
end

-- What Python feeds ----------------------------------------------------------------------------

--- The clock and the counts of a run: the largest fed so far.
function K.advance(run, now, length, size)
  if now > run.now then run.now = now end
  if length > run.length then run.length = length end
  if size > run.size then run.size = size end
end

local function value_of(ok, text)
  local value = decode(text)
  if not ok and not K.errors.is_error(value) then return K.errors.from_failure(value or {}) end
  return value
end

local ops = K.ops

function ops.start(run, args, context)
  local list, n = decode(args)
  K.keep_context(run, decode(context))
  run.started_ns = run.now * 1000000
  run.main = S.spawn(run, function()
    local entry = load.entry(run)
    return entry(unpack(list, 1, n or 0))
  end)
  S.drive(run)
end

function ops.ahead(run, rows)
  local list, n = decode(rows)
  mailbox.add_ahead(run, list, n)
end

function ops.message(run)
  mailbox.feed(run)
  S.drive(run)
end

function ops.more(run)
  S.unpause(run)
  S.drive(run)
end

function ops.resolve(run, seq, ok, text)
  run.children[seq] = nil
  if run.pending[seq] then
    S.resolve(run, seq, ok, value_of(ok, text))
    S.drive(run)
  end
end

function ops.child_started(run, seq, pid, failure)
  K.process.child_started(run, seq, pid, failure and value_of(false, failure))
  S.drive(run)
end

function ops.exit(run, pid, ok, text)
  K.process.child_closed(run, pid, ok, value_of(ok, text))
  S.drive(run)
end

function ops.query(run, name, args) K.handlers.query(run, name, args) end
function ops.validate(run, name, args) K.handlers.validate(run, name, args) end

function ops.reply(run, values)
  local list = decode(values)
  local task = run.service_task
  run.service, run.service_task = nil, nil
  task.blocked, task.a, task.b = false, list[1], list[2]
  S.drive(run, task)
end

-- Step -----------------------------------------------------------------------------------------

-- Everything crosses as one flat list: status, messages ahead, answer, unread ids, number of
-- commands, number of service values, then 5 values a command, the service, 3 values a log line.
local function answer(run, status, text, more)
  if run.notes then K.handlers.flush(run) end
  local out, n = run.out, run.nout
  local commands, values = n // 5, 0
  local service = run.service
  if service and status == "service" then
    values = service.n + 1
    for i = 1, values do out[n + i] = service[i] end
    n = n + values
  end
  local logs = run.nlogs
  if logs > 0 then
    for i = 1, logs do out[n + i] = run.logs[i] end
    n = n + logs
    run.logs, run.nlogs = {}, 0
  end
  -- The list is used again, unless it grew large.
  if n > 500 then run.out = {} end
  run.nout = 0
  return status, run.ahead_last - run.ahead_first + 1, text, more, commands, values,
    unpack(out, 1, n)
end

-- What every coroutine waits for, when nothing can ever wake one; nil otherwise.
local function deadlock(run)
  if run.npending > 0 or run.head <= run.tail or run.paused[1] then return nil end
  if run.options.interrupt_on_cancel and not run.cancel_requested then return nil end
  if N.next(run.update_handlers) then return nil end
  local lines = {}
  local task = run.oldest
  while task do
    if task.mail and K.channel.expects_mail(task.mail) then return nil end
    if #lines < 10 then
      lines[#lines + 1] = K.position_of(task.co) .. " waits in " .. tostring(task.blocked)
    end
    task = task.after
  end
  return "deadlock: every coroutine waits and nothing is pending (" ..
    N.table.concat(lines, "; ") .. ")"
end

local function settle(run, op)
  -- (a process may have mail before it begins)
  if run.ended or run.service or op == "ahead" or not run.main then return end
  local message = deadlock(run)
  if message then fail(run, make_error("Internal", message, false)) end
end

-- Feed outcomes that came together one after the other, just as if each had come alone: with its
-- own time, and a budget that it does not share with much.
function ops.again(run)
  local rows, fed = run.rows, false
  while rows and not run.ended and not run.service do
    local i = run.row
    if i == rows.n then run.rows = false return end
    if fed and worn() then return end
    fed, run.row, run.asked = true, i + 6, 0
    K.advance(run, rows[i + 1], rows[i + 2], rows[i + 3])
    ops.resolve(run, rows[i + 4], rows[i + 5], rows[i + 6])
    settle(run, "resolve")
  end
end

--- Several outcomes: of each the time, the length, the size, its number, how it ended, its value.
function ops.outcomes(run, ...)
  run.rows, run.row = {n = select("#", ...), ...}, 0
  ops.again(run)
end

local function act(run, op, ...)
  ops[op](run, ...)
  if not run.said then settle(run, op) end
end

local function step(run, op, now, length, size, replaying, fresh, ...)
  if run.ended and op ~= "query" and op ~= "validate" then return answer(run, "ended") end
  K.run, run.replaying = run, replaying
  if fresh then run.given = 0 end -- a decision begins
  if op ~= "reply" then run.asked = 0 end
  begin(cpu_seconds, memory_bytes, run.pure_env or run.env)
  K.advance(run, now, length, size)
  local ok, e = pcall(act, run, op, ...)
  local reason = finish(not ok and e or nil)
  K.run = nil
  if reason then
    run.ended = true
    return answer(run, "fault", reason, run.where)
  end
  if not ok then
    run.ended = true
    return answer(run, "fault", "kernel", K.decoder.message_of(e))
  end
  local said = run.said
  if said then
    run.said = false
    return answer(run, said.status, said.text)
  end
  if run.ended then return answer(run, run.status, run.answer, run.unread_ids) end
  if run.service then return answer(run, "service") end
  if run.rows then return answer(run, "again") end
  return answer(run, run.paused[1] and "more" or "wait")
end

-- Where every coroutine waits, oldest first, as text for people.
local function stack(run)
  local lines, task = {}, run.oldest
  while task and #lines < 100 do
    lines[#lines + 1] = K.position_of(task.co) .. ": waits in " .. tostring(task.blocked)
    task = task.after
  end
  return N.table.concat(lines, "\n")
end
K.stack = stack

-- What Python asks of a run beside its steps.
local looks = {stack = stack}

-- Where command `seq` was given, else the last one; "" where nobody traced.
function looks.line(run, seq)
  return run.lines and run.lines[seq] or run.last_line
end

-- Event ids of the messages nobody has taken, as text; nil when they are those of the last time.
function looks.unread(run)
  if not run.mail_changed then return nil end
  return N.table.concat(mailbox.unread_ids(run), ",")
end

--- Open a run: the function that feeds it, or looks at it. `info` is JSON; `locals` that of its
-- local activities, if any; `trace`: remember where commands are given.
function K.open(run_id, info, locals, trace, log_replay)
  local run = K.new_run(run_id, info)
  run.lines, run.log_replay = trace and {}, log_replay
  run.fail, run.complete, run.finish = fail, complete, end_run
  if locals then K.keep_locals(run, locals) end
  load.environment(run)
  return function(op, now, length, size, replaying, fresh, ...)
    local look = looks[op]
    if look then return look(run, now) end
    return step(run, op, now, length, size, replaying, fresh, ...)
  end
end

-- Whoever a run is, its top level may ask.
local NOBODY = '{"run_id":"check","workflow_id":"check","workflow_type":"check","pid":"check",'
  .. '"task_queue":"check","namespace":"check","entry_id":"check","attempt":1}'

--- Run the top level of the code in a run of its own: nil, or why it has no entry function.
function K.check()
  local run_step = K.open("check", NOBODY, nil, false, false)
  local status, _, text = run_step("check", 0, 0, 0, true, true)
  if status == "fault" then return "the code does not end its top level: " .. tostring(text) end
  if status == "failed" then return decode(text).message end
end

function ops.check(run)
  run.main = S.spawn(run, function() load.entry(run) end)
  S.drive(run)
end
