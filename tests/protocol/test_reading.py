"""Which workflow tasks a worker reads, and how many: what it has begun is over soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from unittest.mock import patch

import pytest
from tests.protocol import gates
from tests.protocol.hand import Hand
from tests.support.engine import Engine
from tests.support.mutants import patience, proves, replaced

from luaflow.store.store import Store
from luaflow.store.tasks import Found, read_tasks
from luaflow_worker import polling
from luaflow_worker.polling import Poller
from luaflow_worker.worker import MOST_BUSY, MOST_READ, Worker

HOLD = """
local funcs = require("funcs")
local function main(name) return funcs.call("app:gate", name) end
"""
FINE = "local function main() return 1 end"


@pytest.fixture
def still() -> Iterator[None]:
    gates.reset()
    yield
    gates.reset()


class Reading:
    """A poller of an own stream and a shared one, both of them full, by hand."""

    def __init__(self, store: Store) -> None:
        p = store.partitions[0]
        self.store, self.own, self.shared = store, p.sticky("w"), p.workflow_queue("q")
        self.free: Iterator[int] = iter(())
        self.found: list[str] = []
        self.poller = Poller(
            "test",
            store,
            "w",
            [[self.own, self.shared]],
            own=[self.own],
            free=lambda: next(self.free),
            freed=asyncio.Event(),
            handle=self._handle,
        )

    def _handle(self, found: list[Found]) -> None:
        self.found += [stream for stream, _, _ in found]

    async def read(self, *, short: bool) -> list[str]:
        """What one round hands over, with two slots: free at once, or after they ran short."""
        self.free = iter([0, 2, 2, 2] if short else [2, 2])
        self.found = []
        await self.poller.round()
        return self.found


@pytest.fixture
async def reading(hand: Hand) -> AsyncIterator[Reading]:
    hand.excused = True  # what the tasks say is of no run
    one = Reading(hand.store)
    await one.poller.open()
    for stream in (one.own, one.shared):
        await hand.store.ask(*(("XADD", stream, "*", "r", n) for n in range(40)))
    yield one
    await one.poller.close()


@proves(replaced(polling, "OTHERS_FIRST", 1_000_000), replaced(polling, "OTHERS_FIRST", 1))
async def test_while_slots_run_short_begun_runs_come_first_but_not_for_ever(
    reading: Reading,
) -> None:
    found = [await reading.read(short=True) for _ in range(8)]
    own, shared = reading.own, reading.shared
    assert found[:3] == [[own, own]] * 3
    assert sorted(found[3]) == sorted([own, shared])
    assert found[4:7] == [[own, own]] * 3
    assert sorted(found[7]) == sorted([own, shared])


async def _skips(self: Poller, streams: Sequence[str], free: int) -> list[Found]:
    step, group = min(free, len(streams)), (streams[0], len(streams))
    turn = self._turns[group] = (self._turns.get(group, 0) + step) % len(streams)
    part = [*streams, *streams][turn : turn + step]
    return await read_tasks(self._store, self._reader, "w", part, 1, block=False)


@proves(replaced(Poller, "_look", _skips))
async def test_no_stream_is_passed_over_whatever_is_free(hand: Hand) -> None:
    """Eight streams, all of them full; six slots are free, then two, then six …"""
    hand.excused = True
    streams = [p.workflow_queue("q") for p in hand.store.partitions[:8]]
    free, found = [6, 2] * 8, list[str]()
    poller = Poller(
        "test",
        hand.store,
        "w",
        [streams],
        free=lambda: free[0],
        freed=asyncio.Event(),
        handle=lambda tasks: found.extend(stream for stream, _, _ in tasks),
    )
    await poller.open()
    for stream in streams:
        await hand.store.ask(*(("XADD", stream, "*", "r", n) for n in range(40)))
    while free:
        await poller.round()
        free.pop(0)
    await poller.close()
    assert sorted(set(found)) == sorted(streams)


async def test_with_slots_to_spare_all_are_read_alike(reading: Reading) -> None:
    for _ in range(3):
        assert sorted(await reading.read(short=False)) == sorted([reading.own, reading.shared])


async def test_few_tasks_are_read_while_many_are_on_their_way(engine: Engine) -> None:
    await engine.deploy({"fine": FINE})
    one = await engine.worker()
    tasks = one.workflows

    def to_read(active: int, waiting: int) -> int:
        wait = {str(n): [None] for n in range(waiting)}
        with patch.object(tasks, "active", active), patch.object(tasks.locals, "waiting", wait):
            return one._workflow_tasks_to_read(1000)

    assert to_read(0, 0) == MOST_READ
    assert to_read(MOST_BUSY - 1, 0) == 1
    assert to_read(MOST_BUSY, 0) == 0
    assert to_read(MOST_BUSY + 9, 10) == 1, "who waits for a local activity uses no processor"
    assert to_read(1000, 900) == 0, "no more than there are slots"


def _all_alike(self: Worker, slots: int) -> int:
    return min(slots, MOST_READ, MOST_BUSY - self.workflows.active)


@pytest.mark.usefixtures("still")
@proves(replaced(Worker, "_workflow_tasks_to_read", _all_alike))
async def test_decisions_that_wait_for_local_activities_keep_nobody_waiting(
    engine: Engine,
) -> None:
    """More of them than tasks may be on their way: others are decided."""
    python = {"gate": "tests.protocol.gates:gate"}
    await engine.deploy({"hold": HOLD, "fine": FINE}, python=python, local=("gate",))
    held = [await engine.start("hold", f"h{n}") for n in range(MOST_BUSY + 2)]
    await engine.worker(drain_seconds=0.1)
    async with asyncio.timeout(patience()):
        await asyncio.gather(*(gates.began[f"h{n}"].wait() for n in range(MOST_BUSY + 2)))
        fine = await engine.start("fine")
        assert await fine.result() == 1
        for n in range(MOST_BUSY + 2):
            gates.open_[f"h{n}"].set()
        await asyncio.gather(*(handle.result() for handle in held))
