"""The backlog of a queue, as autoscalers ask for it: never zero while anything of it runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from tests.protocol import gates
from tests.protocol.hand import QUEUE, Hand, activity, eager
from tests.support.engine import Engine, within
from tests.support.mutants import proves, replaced

from luaflow.embedded import EmbeddedServer
from luaflow.errors import InvalidArgument
from luaflow.observe.http import OpsServer
from luaflow.store import attempts
from luaflow.store.store import Store
from luaflow_scheduler import backlog
from luaflow_scheduler.backlog import BacklogPage, Backlogs

CALL = """
local funcs = require("funcs")
local function main(name) return funcs.call("app:gate", name) end
"""
URGENT = {"workflow.priority": {"priority_key": 1}}
GATE = {"gate": "tests.protocol.gates:gate"}
LATER = {"disable_eager_activities": True}


async def count(store: Store, queue: str = "q") -> dict[str, Any]:
    """The backlog as it is now."""
    return await Backlogs(store).of(queue)


def numbers(found: dict[str, Any], kind: str) -> tuple[int, int]:
    return found[kind]["queued"], found[kind]["in_flight"]


async def ready(engine: Engine, *, local: bool = False, **worker: Any) -> None:
    gates.reset()
    names = ("gate",) if local else ()
    await engine.deploy({"call": CALL}, python=GATE, local=names, worker=worker)


async def _nothing(_: Backlogs) -> Counter[Any]:
    return Counter()


@proves(replaced(Backlogs, "_held", _nothing), replaced(Backlogs, "_queued", _nothing))
async def test_an_activity_is_seen_from_its_queue_to_its_end(engine: Engine) -> None:
    """Queued, then in flight, then gone; workflows are counted apart."""
    await ready(engine, **LATER)
    run = await engine.start("call", "x")
    assert numbers(await count(engine.store), "workflow") == (1, 0)
    deciding = await engine.worker(role="workflow")
    await engine.until(run, "ActivityTaskScheduled")
    found = await count(engine.store)
    assert numbers(found, "activity") == (1, 0)
    await engine.worker(role="activity")
    await within(gates.began["x"].wait())
    found = await count(engine.store)
    gates.open_["x"].set()
    assert found == {
        "queue": "q",
        "queued": 0,
        "in_flight": 1,
        "backlog": 1,
        "workflow": {"queued": 0, "in_flight": 0, "backlog": 0},
        "activity": {"queued": 0, "in_flight": 1, "backlog": 1},
    }
    assert await within(run.result()) == "x"
    await engine.retire(deciding)  # (its last commit has been answered)
    assert (await count(engine.store))["backlog"] == 0


async def test_never_zero_while_an_activity_comes_and_goes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked all the time, also at the moment it is taken: one or more, never none."""
    monkeypatch.setattr(backlog, "FRESH_SECONDS", 0)
    await ready(engine, **LATER)
    deciding = await engine.worker(role="workflow")
    backlogs, seen = Backlogs(engine.store), []
    for name in map(str, range(5)):
        run = await engine.start("call", name)
        await engine.until(run, "ActivityTaskScheduled")
        begun = asyncio.create_task(gates.began[name].wait())
        worker = await engine.worker(role="activity")
        while not begun.done():
            seen.append((await backlogs.of("q"))["activity"]["backlog"])
        seen.append((await backlogs.of("q"))["activity"]["backlog"])
        gates.open_[name].set()
        await within(run.result())
        await engine.retire(worker)
    assert len(seen) >= 10
    assert 0 not in seen
    await engine.retire(deciding)


async def test_a_task_that_is_taken_between_two_looks(hand: Hand) -> None:
    """It was in no lease at the first look and is in no stream at the second: seen at the third."""
    route = await hand.start()
    backlogs = Backlogs(hand.store)
    queued = backlogs._queued

    async def taken_before() -> Counter[Any]:
        await hand.take(route)
        return await queued()

    backlogs._queued = taken_before  # type: ignore[method-assign]
    assert numbers(await backlogs.of(QUEUE), "workflow") == (0, 1)


async def test_what_is_handed_back_is_counted_twice_for_a_moment(hand: Hand) -> None:
    """Rather twice than not at all."""
    route = await hand.start()
    task = await hand.take(route)
    stream = route.partition.activity_queue(QUEUE)
    await hand.commit(task, *activity(1), others=[stream])
    await hand.take_activity(route)
    backlogs = Backlogs(hand.store)
    queued = backlogs._queued

    async def back_before() -> Counter[Any]:
        record = attempts.parse_record(await hand.pending(route, "a:1"))
        assert record.state == "r"
        await hand.store.read(("XADD", stream, "*", "r", "gone"))
        return await queued()

    backlogs._queued = back_before  # type: ignore[method-assign]
    assert numbers(await backlogs.of(QUEUE), "activity") == (1, 1)
    await hand.store.read(("DEL", stream))
    hand.excused = True


async def test_lanes_and_local_activities(engine: Engine) -> None:
    """All lanes are the queue; a local activity is a part of its decision."""
    await ready(engine, local=True)
    await engine.worker()
    run = await engine.start("call", "local", options=URGENT)
    await within(gates.began["local"].wait())
    found = await count(engine.store)
    assert numbers(found, "workflow") == (0, 1)
    assert numbers(found, "activity") == (0, 0)
    assert (await count(engine.store, "other"))["backlog"] == 0
    gates.open_["local"].set()
    await within(run.result())


async def test_a_plain_job(engine: Engine) -> None:
    """It has no run, and is an activity of its queue."""
    gates.reset()
    await engine.deploy(python=GATE)
    await engine.worker()
    job = await engine.client.enqueue("app:gate", "job", queue="q")
    await within(gates.began["job"].wait())
    assert numbers(await count(engine.store), "activity") == (0, 1)
    gates.open_["job"].set()
    assert await within(job.result()) == "job"


async def test_eager_and_deferred(hand: Hand) -> None:
    """What a worker kept for itself is in flight; what somebody outside has is nobody's work."""
    route = await hand.start()
    await hand.commit(await hand.take(route), *eager(1))
    assert numbers(await count(hand.store, QUEUE), "activity") == (0, 1)
    defer = attempts.defer_activity(
        partition=route.partition, run_id=route.run_id, seq="1", token="a.t"
    )
    await hand.store.one(defer)
    assert numbers(await count(hand.store, QUEUE), "activity") == (0, 0)
    await hand.end(route)


async def test_answers_are_a_second_old_at_most(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, the server is read once a second; a queue nobody asked for yet at once."""
    backlogs, reads = Backlogs(hand.store), []
    held = backlogs._held

    async def noted() -> Counter[Any]:
        reads.append(1)
        return await held()

    backlogs._held = noted  # type: ignore[method-assign]
    await hand.start()
    monkeypatch.setattr(backlog, "FRESH_SECONDS", 3600)
    first = await asyncio.gather(*(backlogs.of(QUEUE) for _ in range(20)))
    assert {found["backlog"] for found in first} == {1}
    before = len(reads)
    await hand.start("another")
    assert (await backlogs.of(QUEUE))["backlog"] == 1
    assert len(reads) == before
    assert (await backlogs.of("new"))["backlog"] == 0
    assert (await backlogs.of(QUEUE))["backlog"] == 2
    with pytest.raises(InvalidArgument):
        await backlogs.of("a b")


async def test_the_page(
    tmp_path: Path, server_binary: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 and numbers; 400 for what is no queue; without Redis 503, and never a zero."""
    server = EmbeddedServer(tmp_path / "data", appendfsync="no", binary=server_binary)
    with server:
        monkeypatch.setattr(backlog, "FRESH_SECONDS", 0)
        store = await Store.open(server.url, "default")
        page = BacklogPage(store)
        ok = (True, "")
        ops = OpsServer("127.0.0.1", 0, CollectorRegistry(), lambda: ok, lambda: ok, page)

        async def get(path: str) -> tuple[int, Any]:
            status, kind, body = await asyncio.to_thread(ops.answer, path, "")
            return status, orjson.loads(body) if kind == "application/json" else body

        status, found = await get("/api/v1/queues/orders/backlog")
        assert (status, found["backlog"], found["queue"]) == (200, 0, "orders")
        status, found = await get("/api/v1/queues/a%20b/backlog")
        assert status == 400
        assert "is not a name" in found["error"]
        assert (await get("/api/v1/queues/orders"))[0] == 404
    monkeypatch.setattr(backlog, "WAIT_SECONDS", 0.2)
    status, found = await get("/api/v1/queues/orders/backlog")
    assert status == 503
    assert "error" in found
    assert "backlog" not in found
    await store.close()
