"""`workflow.saga()`: compensations in reverse order, each retried, errors collected."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.engine import PATIENCE, Engine, engine, make_engine
from tests.support.mutants import kernel_mutant, proves

__all__ = ["engine", "make_engine"]

UNDO = """
local function main(name, fails)
  if fails == 'twice' and activity.info().attempt < 3 then error('not yet') end
  if fails == 'always' then return nil, errors.new('Conflict', name .. ' stays') end
  process.send('{c@app:worker|' .. activity.info().workflow_id .. '}', 'undone', name)
end"""
FLOW = """
local function main(how)
  local undone = process.listen('undone')
  local saga = workflow.saga({ ['activity.retry_policy'] = {
    initial_interval = '5ms', non_retryable_error_types = 'Conflict' } })
  local step = { 'a' }
  assert(saga:add('app:undo', 'a'))
  assert(saga:add('app:undo', 'b', how))
  assert(saga:add('app:undo', 'c'))
  step[1] = 'changed'
  local done, err = saga:compensate()
  local order = {}
  while true do
    local got = channel.select({ undone:case_receive(), default = true })
    if got.default then break end
    order[#order + 1] = got.value
  end
  return { done = done, order = order, again = saga:compensate(),
    err = err and { kind = err:kind(), message = err:message(), errors = err:details().errors } }
end"""


async def compensated(engine: Engine, how: str) -> dict[str, Any]:
    """What a workflow says that undoes three steps, the second of which behaves like `how`."""
    await engine.deploy({"flow": FLOW}, activities={"undo": UNDO})
    await engine.worker()
    await engine.scheduler()
    found: dict[str, Any] = await engine.execute("flow", how)
    return found


@proves(kernel_mutant("modules/saga", "saga.steps[#saga.steps]\n", "saga.steps[1]\n"))
async def test_the_last_step_is_undone_first(engine: Engine) -> None:
    """All steps are undone, once; compensating again does nothing."""
    found = await compensated(engine, "never")
    assert found == {"done": True, "order": ["c", "b", "a"], "again": True}


async def test_a_compensation_is_tried_again(engine: Engine) -> None:
    """A compensation is an activity: the options of the saga are its options."""
    assert (await compensated(engine, "twice"))["order"] == ["c", "b", "a"]


async def test_errors_are_collected(engine: Engine) -> None:
    """A step that cannot be undone does not keep the others; the error says which and why."""
    found = await compensated(engine, "always")
    assert "done" not in found
    assert found["order"] == ["c", "a"]
    assert found["err"]["kind"] == "Internal"
    assert found["err"]["message"] == "1 of the compensations failed, the first: app:undo: b stays"
    (one,) = found["err"]["errors"]
    assert (one["id"], one["kind"], one["message"]) == ("app:undo", "Conflict", "b stays")


async def test_a_canceled_workflow_still_compensates(engine: Engine) -> None:
    """With interrupt_on_cancel waits end at once; compensations are kept from that."""
    flow = """
local function main()
  process.set_options({ interrupt_on_cancel = true })
  local saga = workflow.saga()
  saga:add('app:undo', 'a')
  process.listen('never'):receive()
  local done, err = saga:compensate()
  local name = workflow.shielded(function() return (process.listen('undone'):receive()) end)
  return { done, err == nil, name }
end"""
    await engine.deploy({"flow": flow}, activities={"undo": UNDO})
    await engine.worker()
    handle = await engine.start("flow")
    await engine.until(handle, "WorkflowTaskCompleted")
    await handle.cancel()
    assert await handle.result(timeout=PATIENCE) == [True, True, "a"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("select(2, saga:add('nothing')):message()", "invalid function ID 'nothing'"),
        ("select(2, saga:add('app:undo', print)):message()", "saga:add"),
        ("select(2, pcall(workflow.saga, 5)):message()", "expects a table"),
    ],
)
async def test_mistakes_are_told(engine: Engine, code: str, said: str) -> None:
    """Bad ids, values and options are refused in words when they are given."""
    text = f"local function main() local saga = workflow.saga() return tostring({code}) end"
    await engine.deploy({"flow": text.replace(":message()", "", 1) if "pcall" in code else text})
    await engine.worker()
    assert said in await engine.execute("flow")
