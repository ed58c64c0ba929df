"""A run whose state something else overwrote keeps no other from its leases and its dates (3.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.protocol import gates
from tests.support.engine import Engine, Make, within
from tests.support.mutants import mutant, proves, replaced

from luaflow.client.handle import Handle
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow_scheduler import partition, sweep
from luaflow_scheduler.dates import Date, Work, read_states
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.sweep import Sweep

LEASE_MS = 600
PYTHON = {"gate": "tests.protocol.gates:gate"}
SLEEP = """
local time = require("time")
local function main() time.sleep("100ms") return 1 end
"""
HOLD = """
local funcs = require("funcs")
local function main(name) return funcs.call("app:gate", name) end
"""


@asynccontextmanager
async def damaged(engine: Engine, handle: Handle, part: str = "run") -> AsyncIterator[None]:
    """Put something else in the place of a run's state (or of what it waits for) for a while."""
    key = getattr(engine.store.partition(handle.workflow_id), part)(str(handle.run_id))
    await engine.store.ask(("RENAME", key, f"{key}-kept"), ("SET", key, "a text"))
    try:
        yield
    finally:
        await engine.store.ask(("DEL", key), ("RENAME", f"{key}-kept", key))


async def renewed(engine: Engine, handle: Handle, times: int) -> None:
    """Wait until the lease of a run's task was renewed so often."""
    p, ends = engine.store.partition(handle.workflow_id), set[bytes]()
    while len(ends) <= times:
        (end,) = await engine.store.read(("ZSCORE", p.leases, f"w|{handle.run_id}"))
        assert end is not None, "its lease is over"
        ends.add(bytes(end))


async def _together(self: Store, *calls: Any) -> Sequence[Any]:
    return await self.run(*calls)


@proves(replaced(Store, "apart", _together))
async def test_the_leases_of_others_are_renewed(make_engine: Make) -> None:
    """A local activity of one takes long; the state of another run is not what was written."""
    gates.reset()
    engine = await make_engine(lease_ms=LEASE_MS)
    await engine.deploy({"hold": HOLD}, python=PYTHON, local=("gate",))
    await engine.worker(drain_seconds=0.1)
    bad, good = await engine.start("hold", "bad"), await engine.start("hold", "good")
    for name in ("bad", "good"):
        await within(gates.began[name].wait())
    async with damaged(engine, bad):
        await within(renewed(engine, good, 4))
    for name in ("bad", "good"):
        gates.open_[name].set()
    assert await within(good.result()) == "good"
    await within(bad.result())


async def _all_or_none(store: Store, p: Partition, found: Sequence[Date]) -> list[Any]:
    await store.read(*(("HGET", p.owner(d.run_id), "wid") for d in found))
    return await read_states(store, p, found)


@proves(
    replaced(partition, "read_states", _all_or_none),
    mutant("put_off", "redis.pcall('HGET'", "rcall('HGET'"),
)
async def test_the_dates_of_others_in_its_partition_are_acted_on(make_engine: Make) -> None:
    """What is due for the damaged run is put off; it goes on when it is whole again."""
    gates.reset()
    engine = await make_engine(lease_ms=LEASE_MS)
    await engine.deploy({"hold": HOLD, "sleep": SLEEP}, python=PYTHON, local=("gate",))
    worker = await engine.worker(drain_seconds=0.1)
    bad = await engine.start("hold", "bad", id=engine.id_in(3, "b"))
    await within(gates.began["bad"].wait())
    async with damaged(engine, bad):
        p = engine.store.partition(bad.workflow_id)
        await engine.store.read(("ZADD", p.leases, 1, f"w|{bad.run_id}"))
        await engine.scheduler()
        for n in range(2):
            assert await within(engine.execute("sleep", id=engine.id_in(3, f"s{n}"))) == 1
        (due,) = await engine.store.read(("ZSCORE", p.leases, f"w|{bad.run_id}"))
        assert int(due) > 1, "it is looked at again and again, and for nothing else is time"
    gates.open_["bad"].set()
    await within(bad.result())
    assert worker.healthy


async def _at_once(work: Work, due: Sequence[Date]) -> list[tuple[Date, int]]:
    return await work(due)


@pytest.mark.parametrize(
    ("part", "where", "member"),
    [
        ("run", "gc", "{}"),
        ("run", "gc", "p|{}"),
        ("hist", "gc", "p|{}"),
        ("pend", "leases", "z|{}"),
        ("pend", "leases", "n|{}"),
        ("run", "leases", "n|{}"),
    ],
)
@proves(replaced(partition, "together_or_alone", _at_once))
async def test_what_is_to_be_cleared_away_keeps_no_dates_waiting(
    engine: Engine, part: str, where: str, member: str
) -> None:
    """A closed run of which something is damaged: its date is put off, others' are acted on."""
    await engine.deploy({"sleep": SLEEP})
    await engine.worker()
    await engine.scheduler()
    over = await engine.start("sleep", id=engine.id_in(3, "b"))
    assert await within(over.result()) == 1
    p = engine.store.partition(over.workflow_id)
    date = getattr(p, where), member.format(over.run_id)
    async with damaged(engine, over, part):
        await engine.store.read(("ZADD", date[0], 1, date[1]))
        for n in range(2):
            assert await within(engine.execute("sleep", id=engine.id_in(3, f"s{n}"))) == 1
        (due,) = await engine.store.read(("ZSCORE", *date))
        assert due is None or int(due) > 1
    if "|" in member:  # the date of its removal is its own
        await engine.store.read(("ZREM", *date))


def _any(fields: Any) -> bool:
    return True


@pytest.mark.parametrize("damage", ["type", "queue", "turn", "len"])
@proves(replaced(sweep, "_makes_sense", _any))
async def test_lost_tasks_of_others_in_its_partition_are_found(engine: Engine, damage: str) -> None:
    """The queue they were in is gone; the sweep looks at the damaged run before it."""
    await engine.deploy({"sleep": SLEEP})
    bad = await engine.start("sleep", id=engine.id_in(3, "b"))
    good = await engine.start("sleep", id=engine.id_in(3, "g"))
    p = engine.store.partition(good.workflow_id)
    await engine.store.read(("DEL", p.workflow_queue("q")))
    async with damaged(engine, bad):
        if damage != "type":
            run = p.run(str(bad.run_id))
            await engine.store.read(("DEL", run), ("COPY", f"{run}-kept", run))
            await engine.store.read(("HSET", run, damage, b"q\xb7"))
        one = Sweep(engine.store, Queues(engine.store), SchedulerMetrics(CollectorRegistry()))
        try:
            found = await one.visit(p)
        except (TypeError, ValueError) as error:
            pytest.fail(str(error))
        assert found == 1
        (entries,) = await engine.store.read(("XRANGE", p.workflow_queue("q"), "-", "+"))
        assert [bytes(fields[1]).decode() for _, fields in entries] == [good.run_id]
    assert await one.visit(p) == 1
    await bad.terminate()
    await good.terminate()
