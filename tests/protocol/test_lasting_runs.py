"""A run that goes on and on gives its slot back, whole, and takes its turn again (5.1, 5.11)."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

from tests.protocol.hand import Hand
from tests.support.engine import Engine, within
from tests.support.mutants import mutant, patience, proves

from luaflow.store import tasks, transitions
from luaflow_worker import live, taking, workflow_tasks
from luaflow_worker.workflow_tasks import WorkflowTasks

STEP = "local function main(n) return n end"
SELF = """
local function main(times)
  local inbox, got = process.inbox(), {}
  for i = 1, times do
    process.send(process.pid(), "again", i)
    got[i] = inbox:receive():payload():data()
  end
  return got
end
"""
MANY = """
local funcs = require("funcs")
local function main(times)
  local sum = 0
  for i = 1, times do
    local futures = {}
    for n = 1, 3 do futures[n] = funcs.async("app:step", n) end
    process.send(process.pid(), "again", i)
    for n = 1, 3 do
      futures[n]:response():receive()
      sum = sum + futures[n]:result():data()
    end
    process.inbox():receive()
  end
  return sum
end
"""


async def test_what_was_handed_back_is_not_held(engine: Engine) -> None:
    """No lease is renewed of it, nothing handed back again when the worker stops."""
    await engine.deploy({"flow": SELF})
    real, held = taking.release, list[bool]()

    async def release(store: Any, name: str, tasks: Any, **how: Any) -> None:
        held.extend(route.run_id in worker.workflows.taken for route, _ in tasks)
        await real(store, name, tasks, **how)

    with patch.object(live, "MOST_ROUNDS", 2), patch.object(workflow_tasks, "release", release):
        worker = await engine.worker(drain_seconds=0.1)
        handle = await engine.start("flow", 12)
        assert await within(handle.result()) == list(range(1, 13))
        await within(worker.workflows.background.wait(10))
    assert held
    assert not any(held)
    assert not worker.workflows.taken
    assert worker.workflows.active == 0


async def test_runs_that_last_lose_nothing(engine: Engine) -> None:
    """With several workers, with and without a cache, whoever goes on: all results, once each."""
    await engine.deploy({"flow": SELF, "many": MANY}, activities={"step": STEP})
    with patch.object(live, "MOST_ROUNDS", 1):
        workers = [
            await engine.worker(drain_seconds=0.1),
            await engine.worker(drain_seconds=0.1),
        ]
        await engine.scheduler()
        runs = [await engine.start("flow", 25) for _ in range(4)]
        many = [await engine.start("many", 12) for _ in range(4)]
        for run in runs:
            assert await run.result(timeout=patience()) == list(range(1, 26))
        for run in many:
            assert await run.result(timeout=patience()) == 72
    for worker in workers:
        await within(worker.workflows.background.wait(10))
        await within(worker.activities.background.wait(10))
        assert not worker.workflows.taken
        assert worker.workflows.active == 0
        assert worker.activities._reserved == 0
        assert not [one for one in worker.workflows.cache if one.busy]


async def test_a_run_waits_its_turn_without_having_had_one(engine: Engine) -> None:
    """Others of its batch take a round each: it has not lasted for that."""
    lasted, accepted = list[bool](), WorkflowTasks._accepted

    def noted(self: WorkflowTasks, step: Any, *rest: Any) -> Any:
        then = accepted(self, step, *rest)
        lasted.append(step.live.lasts)
        return then

    await engine.deploy({"flow": "local function main(n) return n end"})
    with (
        patch.object(live, "MOST_ROUNDS", 2),
        patch.object(workflow_tasks, "ROUND_SECONDS", -1.0),
        patch.object(WorkflowTasks, "_accepted", noted),
    ):
        runs = [await engine.start("flow", n) for n in range(10)]
        await engine.worker(drain_seconds=0.1)
        assert [await within(run.result()) for run in runs] == list(range(10))
    await asyncio.sleep(0)
    assert len(lasted) == 10
    assert not any(lasted)


async def test_a_run_that_lasts_stays_where_it_is_in_memory(engine: Engine) -> None:
    """It is replayed by nobody: all of its history again and again would take longer than it."""
    await engine.deploy({"flow": SELF})
    replays, rebuild = list[Any](), taking._rebuild

    async def noted(*how: Any) -> Any:
        replays.append(how)
        return await rebuild(*how)

    with patch.object(live, "MOST_ROUNDS", 2), patch.object(taking, "_rebuild", noted):
        for _ in range(3):
            await engine.worker(drain_seconds=0.1)
        handle = await engine.start("flow", 60)
        assert await within(handle.result()) == list(range(1, 61))
    assert len(replays) == 1


async def test_a_run_that_lasts_is_left_to_others_by_a_worker_that_stops(engine: Engine) -> None:
    """They need not wait until nobody has read its task for long."""
    await engine.deploy({"flow": SELF})
    with patch.object(live, "MOST_ROUNDS", 2):
        first = await engine.worker(drain_seconds=5)
        handle = await engine.start("flow", 1000)
        await engine.until(handle, "WorkflowTaskCompleted")
        await engine.retire(first)
        await engine.worker(drain_seconds=0.1)
        assert await within(handle.result()) == list(range(1, 1001))


@proves(
    mutant("release_task", "keep == 0 or ", "true or "),
    mutant("release_task", "keep == 0 or r.sticky ~= worker", "false"),
    mutant("release_task", "r.sticky ~= worker then", "false then"),
)
async def test_a_task_is_handed_back_to_who_has_the_run_in_memory(hand: Hand) -> None:
    """Where that is asked for, and is who hands it back; else anybody may have it."""
    for keep, sticky, then in (
        (True, "a", "sticky"),
        (False, "a", "queued"),
        (True, "b", "queued"),
    ):
        route, _ = await hand.idle(f"{keep}{sticky}", sticky=sticky)
        p = route.partition
        await hand.store.one(tasks.groups([p.sticky("a"), p.sticky("b")]))
        await hand.tell(route)
        task = await hand.take(route)
        call = transitions.release_task(route=route, turn=task.turn, worker="a", keep=keep)
        assert await hand.store.one(call) == [b"ok"]
        state = await hand.state(route)
        assert (state["task"], state["sticky"]) == (then, "a" if then == "sticky" else "")
        assert int(state["turn"]) == task.turn + 1
        await hand.take(route)
        await hand.store.read(*(("UNLINK", p.sticky(name)) for name in "ab"))
