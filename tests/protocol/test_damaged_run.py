"""A run whose stored state something else changed is refused in words, and hurts no other."""

from __future__ import annotations

import pytest
from tests.support.engine import Engine, within

from luaflow.errors import Damaged
from luaflow.store.leaving import drop_workers

ECHO = "local function main(x) return x end"


async def test_a_run_that_cannot_be_read_does_not_take_its_batch_along(engine: Engine) -> None:
    """Both tasks are taken together; the other run completes though no scheduler is there."""
    engine.excused = True
    await engine.deploy({"echo": ECHO})
    broken = await engine.start("echo", 1)
    await engine.store.read(
        ("HDEL", engine.store.partition(broken.workflow_id).run(str(broken.run_id)), "type")
    )
    other = await engine.start("echo", 2)
    await engine.worker()
    assert await within(other.result()) == 2


async def test_clients_are_told_which_workflow_is_damaged(engine: Engine) -> None:
    """Describing names it, and so do messages; test_damaged_list.py is about lists."""
    engine.excused = True
    await engine.deploy({"echo": ECHO})
    broken = await engine.start("echo", 1)
    key = engine.store.partition(broken.workflow_id).run(str(broken.run_id))
    await engine.store.read(("HSET", key, "len", "many", "parent", "{", "start", "x"))
    with pytest.raises(Damaged, match=f"the run {broken.run_id} is not what was written"):
        await engine.client.count("TaskQueue = 'q'")
    with pytest.raises(Damaged, match="restore it from a backup, or terminate the run"):
        await broken.describe()
    for damage in (("HSET", key, "status", b"\xed\xa0\x80"), ("HDEL", key, "status")):
        await engine.store.read(damage)
        for tell in (broken.signal("x"), broken.cancel(), broken.update("x")):
            with pytest.raises(
                Damaged, match=f"what is stored of the workflow '{broken.workflow_id}'"
            ):
                await tell


async def test_a_worker_leaves_though_a_run_of_its_own_is_damaged(engine: Engine) -> None:
    """What it holds for others is handed on; the damaged run has no queue to go to."""
    engine.excused = True
    await engine.deploy({"waits": "local function main() return process.listen('s'):receive() end"})
    worker = await engine.worker()
    runs = [await engine.start("waits") for _ in range(2)]
    for run in runs:
        await engine.until(run, "WorkflowTaskCompleted")
    name = (await engine.fields(runs[1]))["sticky"]
    await engine.kill(worker)
    for run in runs:  # into the stream of the worker that is gone
        await run.signal("s", 1)
    p = engine.store.partition(runs[0].workflow_id)
    await engine.store.read(("HSET", p.run(str(runs[0].run_id)), "queue", b"q\xb7"))
    places = [(p, name) for p in engine.store.partitions]
    assert len(await drop_workers(engine.store, places)) == len(places)
    await engine.worker()
    assert await within(runs[1].result()) == 1
