--- Sagas: how to undo what was done, kept with each step; `workflow.saga(options?)`.
local K = ...
local N = K.native
local A, S, codec = K.calls, K.scheduler, K.codec
local invalid, make_error = K.errors.invalid, K.errors.make
local type, select, tostring = N.type, N.select, K.stable.tostring
local STATE, own = K.STATE, K.stable.own

local Saga, methods = K.class("workflow.Saga")

--- Remember that the activity `id` undoes a step: true, or nil and an error.
function methods.add(saga, id, ...)
  if K.run.pure then S.impure("saga:add") end
  local err = A.check_id(id, "function")
  if err then return nil, err end
  local args = {n = select("#", ...)}
  for i = 1, args.n do
    -- copies: what the code does with its tables later is not what is to be undone
    local text, wrong = codec.encode((select(i, ...)))
    if not text then return nil, invalid("saga:add: " .. wrong) end
    args[i] = codec.decode(text)
  end
  saga.steps[#saga.steps + 1] = {id = id, args = args}
  return true, nil
end

-- Undo one step; what went wrong, or nil.
local function undo(saga, step)
  local call = K.modules.funcs.new():with_options(saga.options)
  local _, err = call:call(step.id, N.table.unpack(step.args, 1, step.args.n))
  return err
end

local function undo_all(saga)
  local failed = {}
  while #saga.steps > 0 do
    local step = saga.steps[#saga.steps]
    -- it is gone before it runs: two that compensate at once undo each step once
    saga.steps[#saga.steps] = nil
    local err = undo(saga, step)
    if err then
      failed[#failed + 1] = {
        id = step.id, kind = err:kind(), message = err:message(), details = err:details(),
      }
    end
  end
  return failed
end

--- Undo what was added, the last step first, each with the retries of its activity. A step that
--- cannot be undone does not keep the others: true, or nil and an error that lists those.
function methods.compensate(saga)
  local stop = S.enter("saga:compensate", true)
  if stop then return nil, stop end
  -- also after a cancellation: that is what it is for
  local failed = K.modules.workflow.shielded(undo_all, saga)
  if #failed == 0 then return true, nil end
  local first = failed[1]
  return nil, make_error("Internal", N.string.format("%d of the compensations failed, the first: %s: %s",
    #failed, first.id, tostring(first.message)), false, {errors = failed})
end

--- A new saga; `options` are those of the activities that undo.
function K.saga(options)
  if options == nil then options = {} end
  return own(N.setmetatable({[STATE] = {
    steps = {}, options = A.merge({}, options, "workflow.saga"),
  }}, Saga))
end
