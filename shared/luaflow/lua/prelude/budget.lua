--- Budgets of one activation: CPU time, memory, depth of calls.
-- Once CPU time or memory is spent the activation is dead: every hook, pcall and resume raises.
local K = ...
local N = K.native
local clock, time, sethook, getinfo = N.os.clock, N.os.time, N.debug.sethook, N.debug.getinfo
local pcall, error, type = N.pcall, N.error, N.type
local co_running = N.coroutine.running
local collectgarbage, setmetatable = N.collectgarbage, N.setmetatable
local byte, find, sub = N.string.byte, N.string.find, N.string.sub

local G = {}
K.guard = G

-- One instruction can join or compare strings as long as the memory allows, so few fit in between
-- two hooks, and fewer while the activation holds much or is slow; the clock costs much more than a
-- hook and is read less often.
local HOOK_EVERY, CLOSE_EVERY, LOOK_EVERY = 200, 40, 1000 -- instructions, those of the hook too
local MUCH = 4 * 1024 * 1024 -- bytes that an activation added
local WORN, SOME = 50, 1024 * 1024 -- looks and bytes after which an activation is worn
local SLOW, ASK_AFTER = 0.005, 0.002 -- seconds
local MAX_DEPTH, DEPTH_EVERY = 190000, 16 -- nested calls; in looks
local OUT_OF_MEMORY = "not enough memory"
local MESSAGE = {
  cpu = "luaflow: the step used up its CPU time",
  memory = "luaflow: the step used up its memory",
}

local dead = nil -- "cpu" | "memory"
local allowed = 0 -- CPU seconds of this activation
-- By the clock of the process: the first look; when to ask for the other clock. Most steps end
-- before their first look, or before they need the dearer clock at all.
local started, deadline = nil, 1 / 0
local ends = nil -- by the clock of the thread
local ticks, looks = 0, 0 -- charged instructions since the last look at the clock; looks
local second, last = 0, 0 -- the full second and the process's clock at the last look
local base = 0 -- bytes in use when the activation began
local slow = false -- the instructions before the last look took long: look again at every hook
local spoken = false -- the code itself raised the text of OUT_OF_MEMORY
local sweep = false -- the last activation died: collect what it left

-- CPU time -------------------------------------------------------------------------------------

--- What runs in a dead coroutine all the same: it takes its whole stack to the kernel at once.
G.passes = setmetatable({}, {__mode = "k"})
local passes = G.passes

local function last_gasp()
  local info = getinfo(2, "f")
  if dead and info and passes[info.func] then return end
  error(MESSAGE[dead] or "luaflow: a dead step ran again", 0)
end

--- Raise the end of the activation.
-- A __close handler would get some instructions each time, and can add two more handlers
-- with them: in a dead coroutine the first call raises already.
local function raise()
  local co, main = co_running()
  if not main then sethook(co, last_gasp, "c", 1) end
  error(MESSAGE[dead], 0)
end

--- Raise the end of the activation, if it came.
function G.alive()
  if dead then raise() end
end

--- The message of the end of the activation, if it came.
function G.ended() return dead and MESSAGE[dead] end

-- The budget is CPU time of this thread: neither the work of other threads nor a machine that
-- stood still counts. Only Python can read that clock. The one of the process is cheaper and never
-- slower, so it says when to ask. A float that comes back needs no memory of Lua's.
local function thread_clock()
  if not N.thread_time then return clock() end
  local ok, seconds = pcall(N.thread_time)
  return ok and seconds or nil
end

local function spend(now)
  if not started then
    started, deadline = now, now + (allowed < ASK_AFTER and allowed or ASK_AFTER)
    return
  end
  local used = thread_clock()
  if not used then return end -- the call found no room on the stack: ask again at the next look
  ends = ends or used + allowed - (now - started)
  deadline = now + (ends - used)
  if used >= ends then dead = "cpu" end
end

local function check()
  local now = clock()
  ticks, second, slow, last = 0, time(), now - last > SLOW, now
  if now >= deadline and not dead then spend(now) end
  if dead then raise() end
end
--- Look at the clock now; raises when the activation is dead.
G.check = check

--- Account for work of about `cost` instructions that the hook cannot see.
local function charge(cost)
  ticks = ticks + cost
  if ticks >= LOOK_EVERY or ticks < 0 then check() end
end
G.charge = charge

-- Recursion without end would reach the memory limit, which costs the whole engine, before Lua's
-- own limit of a million stack slots. The kernel's own code is not interrupted by an error that
-- the code can catch.
local function too_deep()
  local info = getinfo(4, "S")
  if info and byte(info.source, 1) == 64 then K.stable.raise("stack overflow") end
  looks = looks - 1
end

local function used_bytes()
  return collectgarbage("count") * 1024 // 1 | 0
end

local tick, close_tick

local function look()
  check()
  looks = looks + 1
  if looks % DEPTH_EVERY == 0 and getinfo(MAX_DEPTH, "l") then too_deep() end
  return slow or used_bytes() - base > MUCH
end

function tick()
  ticks = ticks + HOOK_EVERY
  if ticks < LOOK_EVERY and time() == second then return end
  if look() then sethook(close_tick, "", CLOSE_EVERY) end
end

function close_tick()
  ticks = ticks + CLOSE_EVERY
  if ticks < LOOK_EVERY and not slow and time() == second then return end
  if not look() then sethook(tick, "", HOOK_EVERY) end
end

--- A long string is being made: whoever makes it can do slow things with it at once.
function G.closely()
  local _, main = co_running()
  if not main then sethook(close_tick, "", CLOSE_EVERY) end
end

--- Put a coroutine under the budget.
function G.watch(co)
  sethook(co, tick, "", HOOK_EVERY)
  return co
end

-- Errors ---------------------------------------------------------------------------------------

--- The code raises `err` itself: its text says nothing about the memory.
function G.says(err)
  if err == OUT_OF_MEMORY then spoken = true end
end

--- A handler runs while an error is on its way: what was said is about that one.
function G.says_no_more()
  local said = spoken
  spoken = false
  return said
end

--- The handler is done, the error goes on.
function G.says_again(said)
  spoken = said
end

--- Raise again what was caught as an ordinary error.
function G.rethrow(err)
  G.says(err)
  error(err, 0)
end

--- Look at an error on its way: when memory ran out, the activation is dead from here on.
function G.note(err)
  if err == OUT_OF_MEMORY and not spoken and not dead then dead = "memory" end
end

-- "luaflow/maths:12: bad argument…": lines of the kernel change from release to release.
-- Where a stack overflows is chance: in the code, or in the hook that was called there.
-- The text of an error, and whether it lost its place.
local function place_free(err)
  if type(err) ~= "string" then return err end
  if #err < 200 and find(err, ":%d+: stack overflow$") then return "stack overflow", true end
  local _, stop
  if byte(err, 1) == 108 then _, stop = find(err, "^luaflow/[%w_/]+:%d+: ") end
  if stop then return sub(err, stop + 1), true end
  return K.libs.explained(err), false
end

--- What code sees of an error that stops here. Raises if the activation is dead.
function G.caught(err)
  G.note(err)
  spoken = false
  if dead then raise() end
  return (place_free(err))
end

--- The same for an error that ended coroutine `co`, with the place in the user's code.
function G.last_words(err, co)
  local text, placeless = place_free(err)
  return placeless and K.position_of(co) .. ": " .. text or text
end

--- Whether the activation has done so much that what comes next should have one of its own.
function G.worn()
  return looks >= WORN or used_bytes() - base > SOME
end

-- Memory ---------------------------------------------------------------------------------------

local total_bytes = 1 / 0 -- that all runs of this engine together may keep
local collect_at = 1 / 0
local near = false -- this activation may get there

--- Set what all runs of the engine may keep in memory between activations.
function G.limit_total(bytes)
  total_bytes, collect_at = bytes, bytes
end

-- A step may add its limit to what is used, and the next one again: this ends it.
local function overfull()
  if used_bytes() <= collect_at then return nil end
  collectgarbage("collect")
  local used = used_bytes()
  if used > total_bytes then return "memory" end
  -- A collection costs time: the next one when a quarter more is in use.
  collect_at = used + used // 4 > total_bytes and used + used // 4 or total_bytes
end

-- Activations ----------------------------------------------------------------------------------

--- Start the budget of one activation: CPU seconds, bytes above what is used now.
-- `env`, from K.libs.environment, is the run whose serial numbers and random numbers apply.
function G.begin(cpu_seconds, memory_bytes, env)
  local problem = N.locale_problem()
  if problem then error(problem, 0) end
  dead, ticks, looks, slow, spoken = nil, 0, 0, false, false
  allowed, started, deadline, ends = cpu_seconds, nil, 0, nil
  K.libs.begin(env)
  -- What a dead step leaves counts as used until it is collected, and would widen this limit.
  if sweep then collectgarbage("collect") end
  sweep = false
  base = used_bytes()
  local arm, limit = N.set_max_memory, base + memory_bytes
  near = limit > collect_at
  -- From in here Lua's allocator fails cleanly; armed from outside it could abort the process.
  if arm then arm(limit, true) end
end

--- End the budget: nil, or "cpu", "memory" or "weak". `err` is what the activation failed with.
function G.finish(err)
  local disarm = N.set_max_memory
  if disarm then disarm(0, true) end
  if err then G.note(err) end
  local weak = K.libs.finish()
  local reason = dead or near and overfull() or weak
  sweep = reason ~= nil
  dead, deadline = nil, 1 / 0
  return reason
end
