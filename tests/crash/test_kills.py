"""Orders go through while workers, schedulers and the server are killed without notice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.crash.conftest import APP, NAMESPACE, World
from tests.crash.orders import Orders, Progress
from tests.support.processes import Fleet, Gate, Program

from luaflow.embedded import EmbeddedServer


class Killer:
    """Kills one thing after the other, when so much has happened, and replaces it."""

    def __init__(self, server: EmbeddedServer, fleet: Fleet, progress: Progress) -> None:
        self._server = server
        self._fleet = fleet
        self._progress = progress
        self.workers: list[Program] = []
        self.schedulers: list[Program] = []
        self.killed: Counter[str] = Counter()

    async def begin(self) -> None:
        """Two workers and two schedulers."""
        fleet = self._fleet
        *self.workers, a, b = await asyncio.gather(
            fleet.worker(), fleet.worker(), fleet.scheduler(), fleet.scheduler()
        )
        self.schedulers = [a, b]

    async def run(self, plan: list[tuple[int, str, int]]) -> None:
        """Carry out a plan: when, what, and which of two; what is missed at the end is an error."""
        for when, what, which in plan:
            await self._progress.reach(when)
            self.killed[what] += 1
            if what == "server":
                os.kill(self._server.pid, signal.SIGKILL)
                await asyncio.to_thread(self._server.restart)
            elif what == "worker":
                await self.workers[which].kill()
                self.workers[which] = await self._fleet.worker(ready=False)
            else:
                await self.schedulers[which].kill()
                self.schedulers[which] = await self._fleet.scheduler(ready=False)


def make_plan(seed: int, events: int, faults: dict[str, int]) -> list[tuple[int, str, int]]:
    """Faults at random points of a run that has so many events."""
    chance = random.Random(seed)
    kinds = [what for what, times in faults.items() for _ in range(times)]
    chance.shuffle(kinds)
    points = sorted(chance.sample(range(1, events * 9 // 10), len(kinds)))
    return [(p, what, chance.randrange(2)) for p, what in zip(points, kinds, strict=True)]


@pytest.mark.parametrize(
    ("orders", "seed", "partitions"),
    [
        (200, 1, 16),
        (60, 2, 1),
        pytest.param(900, 3, 16, marks=[pytest.mark.heavy, pytest.mark.timeout(400)]),
    ],
)
async def test_orders_survive_every_kill(
    server: EmbeddedServer,
    gate: Gate,
    effects: Path,
    world: World,
    orders: int,
    seed: int,
    partitions: int,
) -> None:
    """Each order ends once, with every acknowledged signal in order, each activity one outcome."""
    progress = Progress()
    faults = {"worker": orders // 15, "scheduler": orders // 30, "server": orders // 30}
    client = await world(partitions=partitions)
    shop = Orders(client, progress)
    async with Fleet(server.url, NAMESPACE, APP, effects, gate.path, progress.on_line) as fleet:
        killer = Killer(server, fleet, progress)
        await killer.begin()
        plan = make_plan(seed, Orders.events(orders), faults)
        await asyncio.gather(shop.place_many(orders), killer.run(plan))
        assert set(await fleet.stop()) == {0}
        assert await shop.verdict(effects) == []
    assert killer.killed == faults
