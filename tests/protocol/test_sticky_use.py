"""A run in memory is used: what costs a replay is rare, and each replay has a reason."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import pytest
from tests.support.engine import Engine, within
from tests.support.mutants import patience, proves, replaced

from luaflow_worker import workflow_tasks
from luaflow_worker.live import Live
from luaflow_worker.refusals import Refusals

NOTES = """
local function main()
  local inbox, sum = process.inbox(), 0
  while true do
    local m = inbox:receive()
    if m:topic() == "end" then return sum end
    sum = sum + m:payload():data()
  end
end
"""


def replays_of(worker: Any) -> float:
    """How many runs this worker has rebuilt so far."""
    return float(worker.metrics._replays.value)


@proves(replaced(workflow_tasks, "under_way", lambda _, entries, __: (entries, [])))
async def test_a_task_that_overtakes_the_answer_to_a_commit_waits_for_it(engine: Engine) -> None:
    """It is read while the run in memory is busy still: its coroutine is used, and not rebuilt."""
    await engine.deploy({"notes": NOTES})
    worker = await engine.worker()
    handle = await engine.start("notes")
    await within(engine.until(handle, "WorkflowTaskCompleted"))
    tasks = worker.workflows
    run, handled, held = tasks._store.run, asyncio.Event(), False
    handle_entries = tasks.handle

    def note(entries: Any) -> None:
        handle_entries(entries)
        if held:
            asyncio.get_running_loop().call_soon(handled.set)

    async def late(*calls: Any, **how: Any) -> Any:
        nonlocal held
        answers = await run(*calls, **how)
        if not held and any(c.script.name == "commit" for c in calls):
            held = True  # it is in the history, and we do not know yet
            await handle.signal("add", 2)
            await within(handled.wait())
            for _ in range(20):
                await asyncio.sleep(0)  # were it to take the task now, it would
        return answers

    with patch.object(tasks._store, "run", late), patch.object(tasks, "handle", note):
        await handle.signal("add", 1)
        await within(handled.wait())
        await handle.signal("end")
        assert await handle.result(timeout=patience()) == 3
    assert held
    assert replays_of(worker) == 1  # the first task


def a_run(length: int) -> Any:
    place = SimpleNamespace(route=SimpleNamespace(run_id="r"))
    return Live(place, Mock(), Mock(), length=length, busy=True)  # type: ignore[arg-type]


async def test_who_waits_for_a_busy_run_is_told() -> None:
    """When it is free, when it is dropped, and when that takes too long."""
    for end in (Live.release, Live.drop):
        live = a_run(10)
        waits = asyncio.create_task(live.rested(patience()))
        await asyncio.sleep(0)
        assert live.rest
        end(live)
        assert await waits
        assert live.rest is None
        assert await live.rested(0)
    assert not await a_run(10).rested(0.01)


def test_the_longer_a_history_the_longer_no_fused_step_is_tried() -> None:
    """A refusal costs a replay of it all; an end is the end of that."""
    refusals = Refusals()
    for length, steps in ((10, 1), (100, 5), (1000, 50)):
        refusals.note(a_run(length))
        for _ in range(steps):
            assert "r" in refusals
            refusals.decided("r", ended=False)
        assert "r" not in refusals
    refusals.note(a_run(1000))
    refusals.decided("r", ended=True)
    assert not refusals


CROSSED = """
local function main(n)
  for i = 1, n do require("funcs").call("app:crossed", i) end
  return n
end
"""


@pytest.mark.parametrize("steps", [120])
@proves(replaced(Refusals, "note", lambda self, live: self._left.update({live.run_id: 1})))
async def test_a_storm_of_signals_costs_few_replays(engine: Engine, steps: int) -> None:
    """A signal crosses every fused step: without an end to trying, each second one is a replay."""
    await engine.deploy(
        {"flow": CROSSED}, activities={"crossed": "local function main(n) return n end"}
    )
    worker = await engine.worker()
    tasks = worker.workflows
    run = tasks._store.run

    async def crossing(*calls: Any, **how: Any) -> Any:
        if any(c.script.name == "commit" and "fused" in c.args for c in calls):
            await handle.signal("s", 0)
        return await run(*calls, **how)

    with patch.object(tasks._store, "run", crossing):
        handle = await engine.start("flow", steps, id="flow")
        assert await handle.result(timeout=patience()) == steps
    assert replays_of(worker) <= 40
