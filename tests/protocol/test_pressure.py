"""Memory pressure on a server of the test's own: what makes room, in order; open runs go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.protocol.hand import Hand
from tests.protocol.scenes import SCENES
from tests.protocol.test_packed import ACTIVITY, ORDER
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import mutant, patience, proves

from luaflow.embedded import EmbeddedServer
from luaflow.errors import Refused
from luaflow.store import accounting, upkeep
from luaflow.store.namespaces import update_namespace
from luaflow.store.past import packed
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.pressure import Pressure
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.settling import Settling

WAITS = """
local function main()
  local funcs = require("funcs")
  local time = require("time")
  local order = process.listen("go"):receive()
  time.sleep("10ms")
  return funcs.call("app:pay", order)
end
"""


@pytest.fixture
async def small(
    tmp_path: Path, namespace: str, server_binary: Path | None
) -> AsyncIterator[Engine]:
    """An engine on a server whose memory the test limits."""
    with EmbeddedServer(tmp_path / "redis", appendfsync="everysec", binary=server_binary) as server:
        make = Make(server.url, namespace, tmp_path / "app")
        engine = await make()
        try:
            yield engine
        finally:
            await engine.store.read(("CONFIG", "SET", "maxmemory", "0"))
            await make.check()
            await make.close()


async def fill(engine: Engine, percent: int) -> None:
    """Limit the server's memory so that what it has is so many per cent of it."""
    (info,) = await engine.store.read(("INFO", "memory"))
    used = int(bytes(info).split(b"used_memory:")[1].split(b"\r")[0])
    await engine.store.read(("CONFIG", "SET", "maxmemory", str(used * 100 // percent)))


async def test_room_is_made_in_order_and_open_runs_go_on(small: Engine, tmp_path: Path) -> None:
    """Histories are packed, runs archived, starts refused; a signal, a timer, an activity go on."""
    engine = small
    store = engine.store
    activities = dict.fromkeys(("pay", "send", "tell"), ACTIVITY)
    await engine.deploy({"order": ORDER, "waits": WAITS}, activities=activities)
    await engine.worker()
    done = await engine.start("order", {"id": 1})
    await done.result(timeout=10)
    pinned = await engine.start("order", {"id": 2})
    await pinned.pin()
    await pinned.result(timeout=10)
    open_run = await engine.start("waits")
    registry = CollectorRegistry()
    metrics = SchedulerMetrics(registry)
    pressure = Pressure(store, metrics, Settling(store, metrics, Retention(store)))
    place = [(store.partition(done.workflow_id), str(done.run_id))]
    assert await pressure.look() == 0
    assert not (await packed(store, place))[0]
    await fill(engine, 72)
    assert await pressure.look() == 1
    assert (await packed(store, place))[0]
    # without an archive nothing goes before its time
    await fill(engine, 82)
    assert await pressure.look() == 2
    scheduler = await engine.scheduler()
    assert scheduler.ready()[0]
    assert "archived" not in await done.describe()
    await update_namespace(store.link, store.namespace, archive=f"file://{tmp_path}/archive")
    pressure = Pressure(store, metrics, Settling(store, metrics, Retention(store)))
    await fill(engine, 90)
    assert await pressure.look() == 3
    assert b"luaflow_memory_pressure_stage 3.0" in generate_latest(registry)
    await within(_archived(engine, done))
    assert "archived" not in await pinned.describe()
    with pytest.raises(Refused, match="memory"):
        await engine.start("order", {"id": 3})
    await open_run.signal("go", {"id": 4})
    assert await open_run.result(timeout=10) == {"ok": True, "id": 4}
    await store.read(("CONFIG", "SET", "maxmemory", "0"))
    assert await pressure.look() == 0
    await (await engine.start("order", {"id": 5})).result(timeout=10)


async def _archived(engine: Engine, handle: object) -> None:
    while "archived" not in await handle.describe():  # type: ignore[attr-defined]
        await engine.store.read(("PING",))


@proves(mutant("retry_run", "if rcall('HGET', meta_key, 'full') then return { 'full' } end", ""))
async def test_a_chain_waits_for_memory(hand: Hand) -> None:
    """A run that is tried again after its timeout opens no new one above the limit."""
    call = await SCENES["retry_run"](hand)
    p = hand.store.partition("w")
    await hand.store.one(upkeep.head_room(partition=p, percent=86))
    assert (await hand.store.one(call))[0] == b"full"
    await hand.store.one(upkeep.head_room(partition=p, percent=50))
    assert (await hand.store.one(call))[0] == b"ok"


async def test_what_a_namespace_takes_is_measured(hand: Hand) -> None:
    """Open and closed runs, indexes and outboxes, each more than nothing where there are any."""
    empty = await accounting.measure(hand.store)
    assert empty["open_runs"] == empty["closed_runs"] == 0
    await hand.start("w")
    await hand.end(await hand.start("w2"))
    found = await accounting.measure(hand.store)
    assert set(found) == set(accounting.KINDS)
    assert found["open_runs"] > 500
    assert found["closed_runs"] > 500
    assert found["index"] > empty["index"]


@proves(mutant("continue_as_new", "if ended ~= 'continued_as_new' and", "if false and"))
async def test_a_cron_waits_for_memory(engine: Engine) -> None:
    """The next turn is not opened above the limit, and says why; below it the chain goes on."""
    await engine.deploy({"quick": "local function main(x) return x end"})
    p = engine.store.partition("w")
    handle = await engine.start("quick", 1, id="w", options={"workflow.cron_schedule": "@every 1s"})
    await engine.store.one(upkeep.head_room(partition=p, percent=90))
    await engine.worker()
    scheduler = await engine.scheduler()
    await scheduler.pressure.stop()  # this server has room: it would say so
    await engine.store.one(upkeep.head_room(partition=p, percent=90))
    async with asyncio.timeout(patience()):
        while (found := await handle.describe())["health"]["state"] == "ok":
            assert found["status"] == "running", found
            await engine.store.read(("PING",))
    assert found["health"]["reason"]["reason"] == "no_room"
    await engine.store.one(upkeep.head_room(partition=p, percent=10))
    await within(until(engine, handle, "WorkflowExecutionCompleted"))
    await engine.client.get_handle("w").terminate()
