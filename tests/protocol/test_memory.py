"""A server out of memory (design 5.9): nothing new begins, and whatever runs goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.protocol.hand import QUEUE, Hand
from tests.protocol.scenes import SCENES, contents
from tests.support.engine import Engine, Make
from tests.support.mutants import Violation, mutant, patience, proves

from luaflow.embedded import EmbeddedServer
from luaflow.errors import Refused, exit_code
from luaflow.store import keys, scripts, upkeep
from luaflow.store.checks import memory_percent
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_scheduler.pressure import keep_head_room
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


# -- head-room: new starts are refused before memory is out ----------------------------------------


async def told(hand: Hand, percent: int) -> bool:
    """Whether starts are refused after the partitions heard how full the server is."""
    calls = (upkeep.head_room(partition=p, percent=percent) for p in hand.store.partitions)
    refuses = {answer[1] for answer in await hand.store.run(*calls)}
    assert len(refuses) == 1
    return bool(refuses.pop())


@proves(
    mutant("head_room", "percent >= 85", "percent >= 90"),
    mutant("head_room", "(full and percent >= 80)", "false"),
    mutant("head_room", "rcall('HDEL', meta_key, 'full')", "local _"),
)
async def test_starts_are_refused_from_85_percent_until_80(hand: Hand) -> None:
    """A server at the limit does not change its mind with each run that ends."""
    found: list[tuple[int, bool, bytes]] = []
    for percent in (84, 85, 82, 80, 79, 82):
        refuses = await told(hand, percent)
        wid = f"w{len(found)}"
        answer = await hand.start_as(Route(hand.store.partition(wid), wid, f"r-{wid}", QUEUE))
        found.append((percent, refuses, bytes(answer[0])))
    no, yes = (False, b"started"), (True, b"full")
    assert found == [(84, *no), (85, *yes), (82, *yes), (80, *yes), (79, *no), (82, *no)]


@proves(
    mutant("start", "if full then return { 'full', full } end\n", "\n"),
    mutant("start", "if full then return", "touch()\nremember()\nif full then return"),
)
async def test_a_refused_start_leaves_no_trace(hand: Hand) -> None:
    """Not even its number: what is asked again later is judged afresh."""
    await told(hand, 90)
    call = await SCENES["start"](hand)
    before = await contents(hand)
    assert await hand.store.one(call) == [b"full", b"90"]
    assert await contents(hand) == before
    await told(hand, 10)
    assert (await hand.store.one(call))[0] == b"started"


@proves(
    mutant(
        "start",
        "-- the client chose",
        "if rcall('HGET', meta_key, 'full') then return { 'full', 0 } end\n-- the client chose",
    )
)
async def test_a_start_that_was_made_is_answered_so(hand: Hand) -> None:
    """A repeat of one that happened before, and a start that finds its run, are no fresh ones."""
    call = await SCENES["start"](hand)
    first = await hand.store.one(call)
    await told(hand, 90)
    assert await hand.store.one(call) == first
    other = Route(hand.store.partition("w"), "w", "another", QUEUE)
    assert (await hand.start_as(other, conflict="use_existing"))[0] == b"running"
    hand.excused = True  # the bodies of the scene are empty


@proves(mutant("start", "if full and conflict == 'terminate_existing' then", "if false then"))
async def test_no_run_is_ended_for_one_that_cannot_start(hand: Hand) -> None:
    """Else it would be terminated, and the new one refused."""
    await hand.start()
    await told(hand, 90)
    other = Route(hand.store.partition("w"), "w", "another", QUEUE)
    assert (await hand.start_as(other, conflict="terminate_existing"))[0] == b"full"


@proves(
    mutant(
        "deliver_start",
        "if verdict then",
        "verdict = verdict or rcall('HGET', meta_key, 'full')\nif verdict then",
    )
)
async def test_children_start(hand: Hand) -> None:
    """A child is running work: its start is a message that arrives."""
    await told(hand, 90)
    assert (await hand.store.one(await SCENES["deliver_start"](hand)))[0] == b"ok"
    hand.excused = True  # its parent does not exist


@pytest.fixture
async def small(tmp_path: Path, server_binary: Path | None) -> AsyncIterator[Engine]:
    """An engine on a server of its own, of 64 MB."""
    extra = ("--maxmemory", "64mb")
    with EmbeddedServer(tmp_path / "redis", extra=extra, binary=server_binary) as server:
        make = Make(server.url, "ns", tmp_path / "app")
        try:
            yield await make()
            await make.check()
        finally:
            await make.close()


async def fill(engine: Engine, percent: int) -> None:
    """Use so much of the server's memory, and let a scheduler look at it."""
    names = [f"filler{n}" for n in range(400)]
    await engine.store.read(("DEL", *names))
    # in small parts: an allocator rounds large ones up, each server its own way
    while (await memory_percent(engine.store) or 0) < percent:
        await engine.store.read(("SETRANGE", names.pop(), 200_000, "x"))
    await keep_head_room(engine.store, await memory_percent(engine.store) or 0)


PARENT = """
local function main()
  process.inbox():receive()
  process.spawn("app:child", "app:worker")
  process.inbox():receive()
  return "done"
end
"""
CHILD = """
local function main(parent) return 1 end
"""


async def test_a_nearly_full_server_serves_what_runs(small: Engine) -> None:
    """Signals, decisions and children go on; a start is refused and says what to do."""
    await small.deploy({"parent": PARENT, "child": CHILD})
    handle = await small.start("parent", id="there")
    await small.worker()
    await small.scheduler()
    await fill(small, 91)
    with pytest.raises(
        Refused, match=r"Redis uses 9\d% of its memory: .* raise maxmemory"
    ) as found:
        await small.start("parent", id="new")
    assert exit_code(found.value) == 5
    assert (await small.start("parent", id="there")).run_id == handle.run_id
    await handle.signal("one")
    await small.until(handle, "ChildWorkflowExecutionStarted")
    await fill(small, 82)
    with pytest.raises(Refused, match="uses 8"):
        await small.start("parent", id="new")
    await fill(small, 20)
    assert await small.execute("child") == 1
    await handle.signal("two")
    assert await handle.result(timeout=patience()) == "done"
