"""Priorities: lanes of a queue, read in order, made when first used and then read by all."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.protocol import gates
from tests.support.engine import Engine, within
from tests.support.mutants import proves, replaced

from luaflow.domain import lanes as domain_lanes
from luaflow.domain.lanes import activity_lane, base_of, lane_of
from luaflow.domain.options import ActivityOptions, Priority
from luaflow_worker import lanes

URGENT = {"workflow.priority": {"priority_key": 1}}
IDLE = {"workflow.priority": {"priority_key": 5}}
CALL = """
local funcs = require("funcs")
local function main(name, priority)
  local how = funcs.new()
  if priority then how = how:with_options({["activity.priority"] = {priority_key = priority}}) end
  return how:call("app:note", name)
end
"""
NOTE = {"note": "tests.protocol.gates:note"}
ONE_AT_A_TIME = {
    "max_concurrent_activity_execution_size": 1,
    "disable_eager_activities": True,
}


async def ready(engine: Engine, limits: dict[str, dict[str, Any]] | None = None) -> None:
    """Deploy; nobody works yet."""
    gates.reset()
    engine._write({"call": CALL}, {}, NOTE, (), ONE_AT_A_TIME)
    index = engine.folder / "_index.json"
    tree = orjson.loads(index.read_bytes())
    for entry in tree["entries"]:
        entry.update((limits or {}).get(entry["name"], {}))
    index.write_bytes(orjson.dumps(tree))
    await engine.deploy()


@proves(replaced(lanes, "_ORDER", ("!lo", "", "!hi")))
async def test_urgent_activities_go_first(engine: Engine) -> None:
    """What waits is taken by priority, whenever it came; activities share their run's lane."""
    await ready(engine)
    deciding = await engine.worker(role="workflow")
    runs = [
        await engine.start("call", name, options=how)
        for name, how in (("low", IDLE), ("usual", {}), ("high", URGENT))
    ]
    for run in runs:
        await engine.until(run, "ActivityTaskScheduled")
    await engine.retire(deciding)
    await engine.worker()
    for run in runs:
        await within(run.result())
    assert gates.calls == ["high", "usual", "low"]


async def test_a_lane_is_read_by_those_who_run_already(engine: Engine) -> None:
    """Whoever puts the first task into a lane tells all workers of its queue."""
    await ready(engine)
    await engine.worker()
    await engine.worker()
    runs = [await engine.start("call", str(n), options=how) for n, how in enumerate((URGENT, IDLE))]
    for n, run in enumerate(runs):
        assert await within(run.result()) == 1, n


async def test_an_activity_has_a_priority_of_its_own(engine: Engine) -> None:
    """It is noted with its commit, and nobody had used that lane before."""
    await ready(engine)
    await engine.worker()
    run = await engine.start("call", "x", 1)
    assert await within(run.result()) == 1
    scheduled = next(e for e in await engine.history(run) if e.type == "ActivityTaskScheduled")
    assert "task_queue" not in scheduled.body


async def test_entries_name_a_priority(engine: Engine) -> None:
    """Of a workflow for its runs, of a function for its calls; people see the queue they know."""
    await ready(engine, {"call": {"priority": 2}, "note": {"priority": 5}})
    await engine.worker()
    run = await engine.start("call", "x")
    assert await within(run.result()) == 1
    fields = await engine.fields(run)
    assert fields["queue"] == "q!hi"
    assert (await run.describe())["task_queue"] == "q"
    assert (await engine.history(run))[0].body["task_queue"] == "q"
    members = await engine.store.read(("SMEMBERS", f"lf:{engine.store.namespace}:lanes"))
    assert sorted(members[0]) == [b"q!hi", b"q!lo"]


async def test_children_share_their_parents_lane(engine: Engine) -> None:
    """Unless they say otherwise."""
    parent = """
    local function main(options)
      return process.with_options(options):exec("app:call", "app:worker", "x")
    end"""
    await ready(engine)
    await engine.deploy({"call": CALL, "parent": parent}, python=NOTE, worker=ONE_AT_A_TIME)
    await engine.worker()
    await engine.scheduler()
    for key, lane in ((None, "q!hi"), (4, "q!lo")):
        options: dict[str, Any] = {"workflow.id": f"child-{key}"}
        if key:
            options["workflow.priority"] = {"priority_key": key}
        run = await engine.start("parent", options, options=URGENT)
        await within(run.result())
        child = engine.client.get_handle(f"child-{key}")
        p = engine.store.partition(child.workflow_id)
        (run_id,) = await engine.store.read(("HGET", p.wf(child.workflow_id), "run"))
        (queue,) = await engine.store.read(("HGET", p.run(bytes(run_id).decode()), "queue"))
        assert bytes(queue).decode() == lane


async def test_queues_without_priorities_have_one_stream(engine: Engine) -> None:
    """Nothing is read, written or made that was not before."""
    await ready(engine)
    worker = await engine.worker()
    run = await engine.start("call", "x")
    await within(run.result())
    assert worker._places == ["q"]
    (there,) = await engine.store.read(("EXISTS", f"lf:{engine.store.namespace}:lanes"))
    assert there == 0


@pytest.mark.parametrize(
    ("level", "lane"), [(0, "q"), (1, "q!hi"), (2, "q!hi"), (3, "q"), (4, "q!lo"), (9, "q!lo")]
)
def test_levels_have_lanes(level: int, lane: str) -> None:
    """Small numbers go first; the queue itself is the usual lane."""
    assert lane_of("q", level) == lane
    assert base_of(lane) == "q"
    assert domain_lanes.suffix_of(lane) == lane[1:]


@pytest.mark.parametrize(
    ("options", "lane"),
    [
        (ActivityOptions(), "q!hi"),
        (ActivityOptions(priority=Priority(3)), "q"),
        (ActivityOptions(task_queue="other"), "other"),
        (ActivityOptions(task_queue="other", priority=Priority(5)), "other!lo"),
    ],
)
def test_activities_share_the_lane_of_their_run(options: ActivityOptions, lane: str) -> None:
    """Unless they are for another queue, or name a priority."""
    assert activity_lane(options, "q!hi") == lane
