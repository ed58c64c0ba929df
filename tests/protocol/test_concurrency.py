"""Concurrency limits on workflow entries: no more runs at once than they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from tests.support.engine import Engine, within
from tests.support.mutants import mutant, proves

from luaflow.client.handle import Handle
from luaflow.domain.ids import partition_of
from luaflow.errors import WorkflowFailed

JOB = """
local workflow = require("workflow")
local function main(input)
  local go = process.listen("go")
  go:receive()
  return "done"
end
"""


async def ready(engine: Engine, limits: Mapping[str, Any], **more: str) -> None:
    """Deploy ``job`` with flow-control keys; a worker and a scheduler."""
    engine._write({"job": JOB, **more}, {}, {}, (), {})
    index = engine.folder / "_index.json"
    tree = orjson.loads(index.read_bytes())
    for entry in tree["entries"]:
        if entry["name"] == "job":
            entry.update(limits)
    index.write_bytes(orjson.dumps(tree))
    await engine.deploy()
    await engine.worker()
    await engine.scheduler()


async def begun(engine: Engine, handle: Handle) -> None:
    """Wait for its first decision."""
    await engine.until(handle, "WorkflowTaskCompleted")


async def waits(engine: Engine, handle: Handle) -> bool:
    """Whether it waits for its slot."""
    return (await engine.fields(handle))["task"] == "waiting"


async def finish(engine: Engine, handle: Handle) -> None:
    """Let it come to its end."""
    await begun(engine, handle)
    await handle.signal("go")
    assert await within(handle.result()) == "done"


@proves(
    mutant("deliver_lock", "holding < limit and waiting == 0", "true"),
    mutant("deliver_slot", "  schedule(r)\n", ""),
)
async def test_what_is_above_the_limit_waits(engine: Engine) -> None:
    """It is open and has no task; when one ends, the next begins, in order."""
    await ready(engine, {"concurrency": {"limit": 1}})
    one, two, three = [await engine.start("job", {}) for _ in range(3)]
    await begun(engine, one)
    assert await waits(engine, two)
    assert (await two.describe())["status"] == "running"
    await finish(engine, one)
    await begun(engine, two)
    assert await waits(engine, three)
    await finish(engine, two)
    await finish(engine, three)


async def test_each_value_of_the_key_has_a_limit_of_its_own(engine: Engine) -> None:
    """Customers do not wait for each other."""
    await ready(engine, {"concurrency": {"limit": 1, "key": "input.customer"}})
    one, other = [await engine.start("job", {"customer": n}) for n in ("a", "b")]
    again = await engine.start("job", {"customer": "a"})
    await begun(engine, one)
    await begun(engine, other)
    assert await waits(engine, again)
    for run in (one, other, again):
        await finish(engine, run)


async def test_a_message_does_not_start_what_waits(engine: Engine) -> None:
    """It lands, and is there when the run begins."""
    await ready(engine, {"concurrency": 1})
    one, two = [await engine.start("job", {}) for _ in range(2)]
    await begun(engine, one)
    await two.signal("go")
    assert await waits(engine, two)
    await finish(engine, one)
    assert await within(two.result()) == "done"


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_terminated_run_keeps_no_slot(engine: Engine, waiting: bool) -> None:
    """Neither the one that ran nor the one that waited."""
    await ready(engine, {"concurrency": 1})
    one, two, three = [await engine.start("job", {}) for _ in range(3)]
    await begun(engine, one)
    await (two if waiting else one).terminate()
    await finish(engine, one if waiting else two)
    await finish(engine, three)


async def test_children_wait_as_well(engine: Engine) -> None:
    """A parent's children are runs of the type like others."""
    parent = """
    local function main()
      local a = process.spawn("app:job", "app:worker", {})
      local b = process.spawn("app:job", "app:worker", {})
      return {a, b}
    end"""
    await ready(engine, {"concurrency": 1}, parent=parent)
    blocker = await engine.start("job", {})
    await begun(engine, blocker)
    run = await engine.start("parent", options={"workflow.id": "p"})
    pids = await within(run.result())
    await finish(engine, blocker)
    assert len(pids) == 2


@proves(mutant("deliver_slot", "if granted == 0 then", "if false then"))
async def test_drop_new_closes_the_new_run(engine: Engine) -> None:
    """It never begins: its end says why."""
    await ready(engine, {"concurrency": {"limit": 1, "strategy": "drop_new"}})
    one = await engine.start("job", {})
    await begun(engine, one)
    two = await engine.start("job", {})
    with pytest.raises(WorkflowFailed, match="concurrency limit") as error:
        await within(two.result())
    assert error.value.kind == "Conflict"
    assert (await two.describe())["status"] == "canceled"
    assert await engine.types(two) == ["WorkflowExecutionStarted", "WorkflowExecutionCanceled"]
    await finish(engine, one)
    await engine.settle()
    await finish(engine, await engine.start("job", {}))


OBEDIENT = """
local function main(input)
  local go, events = process.listen("go"), process.events()
  local r = channel.select({go:case_receive(), events:case_receive()})
  if r.channel == events then return nil, errors.new("Canceled", r.value.reason) end
  return "done"
end
"""


@proves(mutant("deliver_lock", "post(ousted_key, receiver, cancel)\n", ""))
async def test_cancel_running_asks_the_old_one_to_end(engine: Engine) -> None:
    """Each newcomer asks one: the oldest that has not been asked."""
    await ready(engine, {"concurrency": {"limit": 1, "strategy": "cancel_running"}}, job=OBEDIENT)
    runs = [await engine.start("job", {}) for _ in range(3)]
    await finish(engine, runs[2])
    for run in runs[:2]:
        with pytest.raises(WorkflowFailed, match="takes its place"):
            await within(run.result())


@proves(mutant("includes/close", "  rcall('HSET', to, 'c:0', slot)\n", ""))
async def test_a_chain_keeps_its_slot(engine: Engine) -> None:
    """Continue-as-new is one piece of work: nobody gets in between."""
    chain = """
    local workflow = require("workflow")
    local function main(n)
      local go = process.listen("go")
      go:receive()
      if n > 0 then workflow.continue_as_new(n - 1) end
      return "done"
    end"""
    await ready(engine, {"concurrency": 1}, job=chain)
    one, two = await engine.start("job", 1), await engine.start("job", 0)
    await begun(engine, one)
    await one.signal("go")
    await engine.until(one, "WorkflowExecutionContinuedAsNew")
    await engine.settle()
    assert await waits(engine, two)
    await one.signal("go")
    await finish(engine, two)


async def test_a_slot_that_is_broken_ends_the_run(engine: Engine) -> None:
    """A key of a wrong type: nobody waits for ever for what can never be had."""
    engine.excused = True
    key = "slot\napp:job\n"
    await ready(engine, {"concurrency": 1})
    p = engine.store.partitions[partition_of(key, len(engine.store.partitions))]
    await engine.store.read(("SET", p.held(key), "broken"))
    with pytest.raises(WorkflowFailed) as error:
        await within((await engine.start("job", {})).result())
    assert error.value.kind == "Internal"


async def test_a_key_costs_nothing_where_nothing_is_limited(engine: Engine) -> None:
    """A type without limits sends no messages and has no entity."""
    await ready(engine, {})
    one = await engine.start("job", {})
    await finish(engine, one)
    assert "ConcurrencySlotGranted" not in await engine.types(one)
    for p in engine.store.partitions:
        (kept,) = await engine.store.read(("HKEYS", p.meta))
        assert not [f for f in kept if bytes(f).startswith(b"out:")]
