--- Budgets: CPU time and memory of one activation, and coroutines that cannot escape them.
-- Once a budget is spent the activation is dead: every hook, pcall and resume raises again.
local K = ...
local N = K.native
local clock, sethook = N.os.clock, N.debug.sethook
local pcall, error, type = N.pcall, N.error, N.type
local setmetatable = N.setmetatable
local co_create, co_resume, co_yield = N.coroutine.create, N.coroutine.resume, N.coroutine.yield
local co_status, co_close, co_running = N.coroutine.status, N.coroutine.close, N.coroutine.running
local isyieldable, collectgarbage = N.coroutine.isyieldable, N.collectgarbage

local G = {}
K.guard = G

local HOOK_EVERY = 1000 -- instructions
local CREATE_COST, RESUME_COST, FAIL_COST = 200, 50, 100 -- in instructions
local MAX_PCALLS, MAX_RESUMES = 100, 50 -- nested; the C stack ends at 200
local OUT_OF_MEMORY = "not enough memory"
local MESSAGE = {
  cpu = "luaflow: the step used up its CPU time",
  memory = "luaflow: the step used up its memory",
}

local dead = nil -- "cpu" | "memory"
local allowed = nil -- CPU seconds of this activation, until the first look at the clock
local deadline = 1 / 0
local sweep = false -- the last activation died: collect what it left
local ticks = 0 -- charged instructions since the last look at the clock
local depth, resumes = 0, 0 -- nested wrapped pcalls and resumes on the C stack now
local current = nil -- the user's running coroutine; nil in a coroutine of the kernel
local crossing = false -- a system yield is on its way up
local waitable = true -- the coroutines below the running one can yield
local kernel = setmetatable({}, {__mode = "k"}) -- coroutines users must not resume
local crossed = setmetatable({}, {__mode = "k"}) -- suspended by a system yield, not by the user

local function last_gasp()
  error(MESSAGE[dead] or "luaflow: a dead step ran again", 0)
end

-- A __close handler would get a thousand instructions each time, and can add two more handlers
-- with them: in a dead coroutine the first call raises already.
local function raise()
  local co, main = co_running()
  if not main then sethook(co, last_gasp, "c", 1) end
  error(MESSAGE[dead], 0)
end

local function check()
  ticks = 0
  local now = clock()
  if allowed then
    -- Most steps end before their first look: reading the clock costs as much as they do.
    allowed, deadline = nil, now + allowed
  elseif now >= deadline then
    dead = dead or "cpu"
  end
  if dead then raise() end
end
--- Look at the clock now; raises when the activation is dead.
G.check = check

--- Account for work of about `cost` instructions that the hook cannot see.
local function charge(cost)
  ticks = ticks + cost
  if ticks >= HOOK_EVERY or ticks < 0 then check() end
end
G.charge = charge

local function note(err)
  if err == OUT_OF_MEMORY and not dead then dead = "memory" end
end

--- Start the budget of one activation: CPU seconds, bytes above what is used now.
-- `env`, from K.libs.environment, is the run whose serial numbers and random numbers apply.
function G.begin(cpu_seconds, memory_bytes, env)
  local problem = N.locale_problem()
  if problem then error(problem, 0) end
  dead, ticks, depth, resumes, current, crossing = nil, 0, 0, 0, nil, false
  allowed = cpu_seconds
  K.libs.enter(env)
  -- What a dead step leaves counts as used until it is collected, and would widen this limit.
  if sweep then collectgarbage("collect") end
  sweep = false
  local arm = N.set_max_memory
  -- From in here Lua's allocator fails cleanly; armed from outside it could abort the process.
  if arm then arm((collectgarbage("count") * 1024 // 1 | 0) + memory_bytes, true) end
end

--- End the budget: nil, "cpu" or "memory". `err` is what the activation failed with, if it did.
function G.finish(err)
  local disarm = N.set_max_memory
  if disarm then disarm(0, true) end
  note(err)
  local reason = dead
  sweep = reason ~= nil
  dead, allowed, deadline = nil, nil, 1 / 0
  K.libs.enter(nil)
  return reason
end

--- Nil while the activation lives, else "cpu" or "memory".
function G.dead()
  return dead
end

-- Protected calls ------------------------------------------------------------------------------

local function finish_call(d, ok, ...)
  -- After a yield the C stack is shallower than when the call began.
  if depth >= d then depth = d - 1 end
  if ok then
    if dead then raise() end
    return true, ...
  end
  crossing = false
  note((...))
  if dead then raise() end
  charge(FAIL_COST)
  return false, ...
end

--- pcall for users: never catches the end of the budget, nests at most 100 deep.
function G.pcall(...)
  local d = depth + 1
  if d > MAX_PCALLS then
    charge(FAIL_COST)
    return false, "stack overflow (more than " .. MAX_PCALLS .. " nested pcalls)"
  end
  depth = d
  return finish_call(d, pcall(...))
end

local function handle(handler, ok, ...)
  if ok then return true, ... end
  local _, answer = G.pcall(handler, (...))
  return false, answer
end

--- xpcall for users: the handler runs after the stack is unwound, inside the budget.
function G.xpcall(f, handler, ...)
  if type(handler) ~= "function" then
    K.stable.bad_argument(2, "xpcall", "function", handler)
  end
  return handle(handler, G.pcall(f, ...))
end

-- Coroutines -----------------------------------------------------------------------------------

--- A coroutine of the kernel that runs user code inside the budget; users cannot resume it.
function G.create(f)
  ticks = ticks + CREATE_COST
  local co = co_create(f)
  sethook(co, check, "", HOOK_EVERY)
  kernel[co] = true
  return co
end

local function settle(ok, ...)
  if not ok then note((...)) end
  return ok, ...
end

--- Resume a coroutine of `create`, with the results of coroutine.resume: it ended, failed or
-- called K.system_yield (then its status is "suspended").
function G.resume(co, ...)
  ticks = ticks + RESUME_COST
  depth, resumes, current, crossing, waitable = 0, 0, nil, false, true
  return settle(co_resume(co, ...))
end

--- Yield to the kernel from any depth of user coroutines; returns what G.resume is given.
function K.system_yield(...)
  crossing = true
  return co_yield(...)
end

--- True when a system yield would reach the kernel: no C function is in its way.
function G.can_wait() return waitable and isyieldable() end

local relay

local function step(co, ...)
  local outer, d, r, w = current, depth, resumes + 1, waitable
  if r > MAX_RESUMES then
    return false, "C stack overflow (more than " .. MAX_RESUMES .. " nested coroutines)"
  end
  current, resumes, waitable = co, r, w and isyieldable()
  return relay(co, outer, d, r - 1, w, co_resume(co, ...))
end

function relay(co, outer, d, r, w, ok, ...)
  current, depth, resumes, waitable = outer, d, r, w
  if crossing then
    if ok and co_status(co) == "suspended" then
      crossed[co] = true
      return step(co, co_yield(...))
    end
    crossing = false
  end
  crossed[co] = nil
  if not ok then note((...)) end
  if dead then raise() end
  return ok, ...
end

local function resume_user(co, ...)
  if kernel[co] then return false, "cannot resume a coroutine that luaflow runs" end
  if crossed[co] then return false, "cannot resume a coroutine that waits in luaflow" end
  charge(RESUME_COST)
  return step(co, ...)
end

local function create_user(f)
  charge(CREATE_COST)
  local co = co_create(f)
  sethook(co, check, "", HOOK_EVERY)
  return co
end

local function is_thread(name, co)
  if type(co) ~= "thread" then
    K.stable.bad_argument(1, name, "coroutine", co)
  end
end

local U = {}
--- The functions of the users' coroutine module.
G.coroutine = U

function U.create(f)
  if type(f) ~= "function" then K.stable.bad_argument(1, "create", "function", f) end
  return create_user(f)
end

function U.resume(co, ...)
  is_thread("resume", co)
  return resume_user(co, ...)
end

local function closed(ok, ...)
  if not ok then
    crossing = false
    note((...))
  end
  if dead then raise() end
  return ok, ...
end

local function unwrap(co, ok, ...)
  if ok then return ... end
  if co_status(co) ~= "dead" then K.stable.raise((...)) end
  closed(co_close(co))
  error((...), 0)
end

function U.wrap(f)
  if type(f) ~= "function" then K.stable.bad_argument(1, "wrap", "function", f) end
  local co = create_user(f)
  return function(...)
    if co_status(co) == "dead" then K.stable.raise("cannot resume dead coroutine") end
    return unwrap(co, resume_user(co, ...))
  end
end

function U.yield(...)
  if current == nil then K.stable.raise("attempt to yield from outside a coroutine") end
  crossing = false
  return co_yield(...)
end

function U.status(co)
  is_thread("status", co)
  local state = co_status(co)
  if crossed[co] and state == "suspended" then return "normal" end
  return state
end

function U.running()
  return co_running(), current == nil
end

function U.isyieldable()
  return current ~= nil and N.coroutine.isyieldable()
end

function U.close(co)
  is_thread("close", co)
  if kernel[co] then K.stable.raise("cannot close a coroutine that luaflow runs") end
  if crossed[co] then K.stable.raise("cannot close a coroutine that waits in luaflow") end
  local state = co_status(co)
  if state ~= "suspended" and state ~= "dead" then
    K.stable.raise("cannot close a " .. state .. " coroutine")
  end
  charge(RESUME_COST)
  return closed(co_close(co))
end
