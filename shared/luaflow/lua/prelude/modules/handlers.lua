--- What others may ask of a run: queries, updates with a handler, and the views it shows.
local K = ...
local N = K.native
local S, codec, mailbox, P = K.scheduler, K.codec, K.mailbox, K.process
local type, sub, next, unpack, status = N.type, N.string.sub, N.next, N.table.unpack,
  N.coroutine.status
local invalid = K.errors.invalid

local H = {}
K.handlers = H

-- Of each kind, and how long a name may be: a run is no data base.
local MAX_HANDLERS, MAX_NAME = 100, 100
local MAX_VIEWS, MAX_VIEW = 32, 65536

--- Members of the workflow module.
local M = {}
H.members = M

--- Nothing is registered, nothing shown yet.
-- Notes ----------------------------------------------------------------------------------------

-- What goes into the state of the run with the commit, and is no command: no event, no number. Of
-- each name the last one counts. A replay notes nothing: the commit of that decision did.
local function note(run, op, name, text)
  local notes = run.notes or {at = {}}
  run.notes = notes
  local key = op .. ":" .. (name or "")
  local at = notes.at[key] or #notes + 1
  notes.at[key] = at
  notes[at] = {op = op, name = name, text = text}
end

--- Put the notes behind the commands of the activation, as commands without a number.
function H.flush(run)
  local notes, out = run.notes, run.out
  run.notes = false
  if run.replaying then return end
  for i = 1, #notes do
    local n, one = run.nout, notes[i]
    run.nout = n + 5
    out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5] = one.op, 0, one.name, one.text, nil
  end
end

-- Names ----------------------------------------------------------------------------------------

-- Why this call cannot be, or nil.
local function problem(what, name)
  if K.kind ~= "workflow" then return invalid(what .. ": only available in workflow context") end
  if K.run.pure then S.impure(what) end
  if type(name) ~= "string" or name == "" or #name > MAX_NAME or not N.utf8.len(name) then
    return invalid(what .. ": the name must be a text of 1-" .. MAX_NAME .. " bytes of UTF-8")
  end
  if sub(name, 1, 2) == "__" or sub(name, 1, 1) == "@" then
    return invalid(what .. ": names that begin with '__' or '@' are luaflow's own")
  end
end

-- Put a handler into its table, which must not grow without a bound.
local function register(run, handlers, name, handler)
  if not handlers[name] then
    if run.handler_count >= MAX_HANDLERS then
      return nil, invalid("a workflow has at most " .. MAX_HANDLERS .. " handlers of queries and updates")
    end
    run.handler_count = run.handler_count + 1
  end
  handlers[name] = handler
  return true
end

local function names_of(handlers)
  local names = {}
  for name in next, handlers do names[#names + 1] = name end
  N.table.sort(names, K.codec.key_order)
  return names
end

-- Running alone --------------------------------------------------------------------------------

--- Run `fn` to its end in a coroutine of its own: what resumed ours would go on here, and only here.
function K.call_alone(fn)
  local U = K.guard.coroutine
  local co = U.create(fn)
  local ok, value, err = U.resume(co)
  if U.status(co) ~= "suspended" then return ok, value, err end
  local where = K.position_of(co)
  U.close(co)
  return false, where .. ": coroutine.yield is not allowed inside " .. K.run.pure
end

-- The same where no code of the run is running.
local function call_apart(fn)
  local run, co = K.run, K.guard.create(fn)
  run.task = {co = co, shield = 0, blocked = false}
  local ok, value, err = K.guard.resume(co)
  run.task = nil
  if not ok then value = K.errors.raised(K.guard.last_words(value, co), co) end
  if ok and status(co) ~= "dead" then
    return false, K.position_of(co) .. ": nothing may wait inside " .. run.pure
  end
  return ok, value, err
end

-- Run code that must change nothing: its value, or nil and an error object.
local function look(run, what, call, f, args, n)
  run.pure, run.alone = what, true
  local ok, value, second = call(function() return f(unpack(args, 1, n)) end)
  if not ok then value = K.errors.raised(value) end
  run.pure, run.alone = false, false
  if not ok then return nil, value end
  return value, second
end

-- Why a validator refuses an update: an error object, or nil.
local function refusal(run, handler, call, args, n)
  local value, second = look(run, "the validator of an update", call, handler.validate, args, n)
  if type(second) == "string" then return invalid(second) end
  local err = K.errors.returned(second)
  if err == nil and value == false then return invalid("the validator refused it") end
  return err
end

-- Queries --------------------------------------------------------------------------------------

function M.on_query(name, f)
  local wrong = problem("workflow.on_query", name)
  if wrong then return nil, wrong end
  if type(f) ~= "function" then K.raise("workflow.on_query expects a name and a function") end
  local run = K.run
  if run.views[name] then return nil, invalid("workflow.on_query: '" .. name .. "' is a view") end
  return register(run, run.queries, name, f)
end

local function say(run, value, err)
  if err == nil then
    local text, wrong = codec.encode(value)
    if text then
      run.said = {status = "done", text = text}
      return
    end
    err = invalid("the answer: " .. wrong)
  end
  run.said = {status = "failed", text = codec.encode_failure(err)}
end

--- Answer a query: on a run that is thrown away afterwards.
function H.query(run, name, text)
  if name == "__stack_trace" then return say(run, K.stack(run)) end
  local f = run.queries[name]
  if not f then
    local known = N.table.concat(names_of(run.queries), ", ")
    local words = "the workflow has no query '" .. name .. "'; it has "
      .. (known == "" and "none" or known) .. " (and __stack_trace)"
    run.said = {status = "unknown", text = words}
    return
  end
  local args, n = codec.decode(text)
  local value, second = look(run, "a query", call_apart, f, args, n)
  say(run, value, K.errors.returned(second))
end

-- Updates --------------------------------------------------------------------------------------

local function reply(id, step, value)
  local done, err = P.answer_update(id, step, value)
  if not done and step == "ok" then P.answer_update(id, "error", err) end
end

-- The life of one update, in a coroutine of its own.
local function answer(run, handler, entry)
  local id, args, n = entry.update, entry.values, entry.n
  S.enter("workflow.on_update", true)
  local why = handler.validate and refusal(run, handler, K.call_alone, args, n)
  if why then return reply(id, "nak", why) end
  reply(id, "ack")
  local ok, value, second = run.pcall(handler.f, unpack(args, 1, n))
  local err
  if ok then err = K.errors.returned(second) else err = K.errors.raised(value) end
  S.enter("workflow.on_update", true)
  if err then return reply(id, "error", err) end
  reply(id, "ok", value)
end

--- Let the handler of its name answer an update that came; false when there is none.
function H.serve(run, entry)
  local handler = run.update_handlers[entry.topic]
  if not handler then return false end
  -- (it may come while somebody shielded looks for messages: that is no business of the handler)
  S.spawn(run, answer, run, handler, entry).shield = 0
  return true
end

function M.on_update(name, f, validate)
  local wrong = problem("workflow.on_update", name)
  if wrong then return nil, wrong end
  if type(f) ~= "function" or validate ~= nil and type(validate) ~= "function" then
    K.raise("workflow.on_update expects a name, a function and, if you like, a validator")
  end
  local run = K.run
  local before = run.update_handlers[name]
  local done, full = register(run, run.update_handlers, name, {f = f, validate = validate})
  if not done then return nil, full end
  if validate or before and before.validate then
    -- clients must know whom to ask before they send
    local validated = {}
    for _, one in N.ipairs(names_of(run.update_handlers)) do
      if run.update_handlers[one].validate then validated[#validated + 1] = one end
    end
    note(run, "validators", nil, codec.encode(validated))
  end
  mailbox.release(run, function(entry) return entry.update and entry.topic == name end,
    function(entry) H.serve(run, entry) end)
  return true
end

--- Whether every update that came is answered: what is open when the workflow ends fails.
function M.all_handlers_finished()
  return K.kind ~= "workflow" or K.run.open_updates == 0
end

--- Would the validator of an update take it? On a run that is thrown away afterwards.
function H.validate(run, name, text)
  local handler = run.update_handlers[name]
  local args, n = codec.decode(text)
  say(run, true, handler and handler.validate and refusal(run, handler, call_apart, args, n) or nil)
end

-- Views ----------------------------------------------------------------------------------------

function M.set_view(name, value)
  local wrong = problem("workflow.set_view", name)
  if wrong then return nil, wrong end
  local run = K.run
  if run.queries[name] then
    return nil, invalid("workflow.set_view: '" .. name .. "' is a query")
  end
  local text
  if value ~= nil then
    text, wrong = codec.encode(value)
    if wrong then return nil, invalid("workflow.set_view: " .. wrong) end
    if #text > MAX_VIEW then
      return nil, invalid("workflow.set_view: '" .. name .. "' has " .. #text
        .. " bytes, a view may have " .. MAX_VIEW .. ": show less, or answer a query")
    end
  end
  local before = run.views[name]
  if before == text then return true end
  if not before and run.view_count >= MAX_VIEWS then
    return nil, invalid("workflow.set_view: a workflow shows at most " .. MAX_VIEWS .. " views")
  end
  run.view_count = run.view_count + (before and 0 or 1) - (text and 0 or 1)
  run.views[name] = text
  note(run, "view", name, text)
  if not (before and text) then note(run, "views", nil, codec.encode(names_of(run.views))) end
  return true
end
