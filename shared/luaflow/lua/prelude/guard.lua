--- Protected calls and coroutines that cannot escape the budget.
local K = ...
local N = K.native
local pcall, error, type = N.pcall, N.error, N.type
local setmetatable = N.setmetatable
local co_create, co_resume, co_yield = N.coroutine.create, N.coroutine.resume, N.coroutine.yield
local co_status, co_close, co_running = N.coroutine.status, N.coroutine.close, N.coroutine.running
local isyieldable = N.coroutine.isyieldable

local G = K.guard
local charge, watch, caught, alive = G.charge, G.watch, G.caught, G.alive
local note, ended = G.note, G.ended

local CREATE_COST, RESUME_COST, FAIL_COST = 200, 50, 100 -- in instructions
local MAX_PCALLS, MAX_RESUMES = 100, 50 -- nested; the C stack ends at 200

local depth, resumes = 0, 0 -- nested wrapped pcalls and resumes on the C stack now
local current = nil -- the user's running coroutine; nil in a coroutine of the kernel
local crossing = false -- a system yield is on its way up
local waitable = true -- the coroutines below the running one can yield
local kernel = setmetatable({}, {__mode = "k"}) -- coroutines users must not resume
local crossed = setmetatable({}, {__mode = "k"}) -- suspended by a system yield, not by the user
local failed = setmetatable({}, {__mode = "k"}) -- user's coroutine -> the error that ended it

-- Protected calls ------------------------------------------------------------------------------

-- The end of the activation, caught by one of many calls that yielded: their number has no bound, and
-- Lua looks at the whole stack for each that catches an error. So it is raised no further: the coroutine
-- yields to the kernel, which lets it lie.
local function finish_call(d, ok, ...)
  if not ok then
    note((...))
    if ended() and isyieldable() then
      crossing = true
      co_yield()
    end
  end
  -- After a yield the C stack is shallower than when the call began.
  if depth >= d then depth = d - 1 end
  if ok then
    alive()
    return true, ...
  end
  crossing = false
  local err = caught((...))
  charge(FAIL_COST)
  return false, err
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

for _, f in N.ipairs {G.pcall, finish_call, note, ended, isyieldable, co_yield} do
  G.passes[f] = true
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
  charge(CREATE_COST)
  local co = watch(co_create(f))
  kernel[co] = true
  return co
end

local function settle(ok, ...)
  if not ok then note((...)) end
  local last = ended()
  if last then return false, last end
  return ok, ...
end

--- Resume a coroutine of `create`, with the results of coroutine.resume: it ended, failed or
-- called K.system_yield (then its status is "suspended").
function G.resume(co, ...)
  charge(RESUME_COST)
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
  if not ok then
    local err = caught((...))
    failed[co] = err
    return false, err
  end
  alive()
  return true, ...
end

local function resume_user(co, ...)
  if kernel[co] then return false, "cannot resume a coroutine that luaflow runs" end
  if crossed[co] then return false, "cannot resume a coroutine that waits in luaflow" end
  charge(RESUME_COST)
  return step(co, ...)
end

local function create_user(f)
  charge(CREATE_COST)
  return watch(co_create(f))
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

-- `was`: the error that ended the coroutine before, known to be an ordinary one.
local function closed(was, ok, ...)
  if ok then
    alive()
    return true, ...
  end
  crossing = false
  G.says(was)
  return false, caught((...))
end

local function unwrap(co, ok, ...)
  if ok then return ... end
  if co_status(co) ~= "dead" then K.stable.raise((...)) end
  closed((...), co_close(co))
  G.rethrow((...))
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
  return closed(failed[co], co_close(co))
end
