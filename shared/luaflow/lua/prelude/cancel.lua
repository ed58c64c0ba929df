--- Cancellation of a run that asked to be interrupted: waits give way, later calls are refused.
local K = ...
local S = K.scheduler
local make_error = K.errors.make

--- The error of a call that gives way: whoever gets it has taken the request to cancel.
function S.obey(run)
  if run.request then
    K.mailbox.taken(run, run.request)
    run.request = false
  end
  return S.canceled()
end

function S.canceled()
  return make_error("Canceled", "operation canceled", false)
end

-- What a task waits for -> function(run, task) that withdraws the wait; true if it gave way.
local withdraw = {}
S.withdraw = withdraw

--- Make every unshielded wait return nil, Canceled; whoever does first has taken the request.
function S.interrupt(run, request)
  run.interrupted, run.request = true, request or run.request
  local task = run.oldest
  while task do
    K.guard.charge(50)
    local give_way = task.shield == 0 and withdraw[task.blocked]
    if give_way and give_way(run, task) then
      task.got = request
      S.wake(run, task, nil, S.canceled())
    end
    task = task.after
  end
end
