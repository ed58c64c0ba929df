"""A server out of memory (design 5.9): nothing new begins, and whatever runs goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import patch

import pytest
from tests.support.engine import Engine
from tests.support.mutants import Violation, patience, proves

from luaflow.errors import Refused
from luaflow.store import keys, scripts
from luaflow.store.store import Store
from luaflow_worker.presence import Presence
from luaflow_worker.worker import Worker

SLEEPS = 'local time = require("time")\nlocal function main() time.sleep("300ms") return 1 end'


@asynccontextmanager
async def full(store: Store) -> AsyncIterator[None]:
    """The server has no memory left."""
    await store.read(("CONFIG", "SET", "maxmemory", "1"))
    try:
        yield
    finally:
        await store.read(("CONFIG", "SET", "maxmemory", "0"))


def refused(name: str) -> Violation:
    """A violation: the server refuses a script when its memory is out."""

    @contextmanager
    def without_memory() -> Iterator[None]:
        with patch.object(scripts, "_OOM_REFUSED", scripts._OOM_REFUSED | {name}):
            scripts.load.cache_clear()
            yield
        scripts.load.cache_clear()

    return Violation(f"{name} needs memory", without_memory)


def presence(worker: Worker) -> Presence:
    """The part of a worker that says that it lives."""
    return next(s for s in worker._services if isinstance(s, Presence))


async def test_nothing_begins_without_memory(engine: Engine) -> None:
    """A start is refused by the server, and says what to do."""
    await engine.deploy({"flow": SLEEPS})
    async with full(engine.store):
        with pytest.raises(Refused, match="raise maxmemory"):
            await engine.start("flow")


@proves(refused("announce"))
async def test_a_worker_is_there_without_memory(engine: Engine) -> None:
    """It goes on saying that it lives, or schedulers would bury it after a minute."""
    await engine.deploy({"flow": SLEEPS})
    worker = await engine.worker()
    record = keys.worker(engine.store.namespace, worker.id)
    await engine.store.read(("PEXPIRE", record, 5_000))
    async with full(engine.store):
        await presence(worker)._tell()
    (left,) = await engine.store.read(("PTTL", record))
    assert left > 50_000


@proves(refused("announce"), refused("make_groups"))
async def test_a_worker_starts_without_memory(engine: Engine) -> None:
    """One that is started again meanwhile goes on with what runs."""
    await engine.deploy({"flow": SLEEPS})
    handle = await engine.start("flow")
    await engine.scheduler()
    async with full(engine.store):
        await engine.worker()
        assert await handle.result(timeout=patience()) == 1


@proves(refused("make_groups"))
async def test_a_buried_worker_reads_on_without_memory(engine: Engine) -> None:
    """Its sticky stream is gone: it makes it again, and the shared queues are read all the time."""
    await engine.deploy({"flow": SLEEPS})
    scheduler = await engine.scheduler()
    worker = await engine.worker()
    handle = await engine.start("flow")
    await engine.until(handle, "TimerStarted")
    async with full(engine.store):
        await engine.store.read(("DEL", keys.worker(engine.store.namespace, worker.id)))
        for p in engine.store.partitions:
            await scheduler.sweep.visit(p)
        assert await handle.result(timeout=patience()) == 1


@proves(refused("lead"))
async def test_gauges_are_read_without_memory(engine: Engine) -> None:
    """When memory is out one looks at its metrics: they must be there."""
    async with full(engine.store):
        scheduler = await engine.scheduler()
        await scheduler._gauges._sample()
        assert list(scheduler._gauges.collect())
