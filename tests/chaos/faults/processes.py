"""Faults of workers and schedulers: killed, paused."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from tests.chaos.faults.base import Fault
from tests.chaos.processes import Kind
from tests.chaos.world import Kill, World

AT_ONCE = 3
QUIET_SHARE = 0.2
"""How many batches of kills are followed by a quiet stretch: their takeover is measured."""
QUIET_SECONDS = 3.6
"""A lease of a second, two more, and a little."""


async def kill(world: World, kind: Kind, count: int, pick: float) -> None:
    """Kill some together and start as many."""
    victims = await world.take(kind, count, pick)
    names = tuple(p.name for p in victims)
    at = time.monotonic()
    await asyncio.gather(*(world.crew.kill(p) for p in victims))
    world.kills.append(Kill(at, kind, tuple(p.pid for p in victims), names))


class WorkerKills(Fault):
    """Up to three workers of four are killed at once, without notice, and started anew."""

    name = "worker_kills"
    every = 0.6

    def moments(self, chance: random.Random, times: int, begin: float, end: float) -> list[float]:
        """In batches; after each fifth nothing is killed for as long as a takeover may take."""
        batches = -(-times // AT_ONCE)
        quiet = min(QUIET_SECONDS, (end - begin) * 0.4 / (batches * QUIET_SHARE))
        share = (end - begin - quiet * int(batches * QUIET_SHARE)) / batches
        found, at = [], begin
        for batch in range(batches):
            found.append(at + share * 0.9 * chance.random())
            at += share + (quiet if batch % 5 == 4 else 0)
        return found

    async def happen(self, world: World, chance: random.Random) -> None:
        """Kill one to three."""
        await kill(world, "worker", AT_ONCE, chance.random())
        world.counts[self.name] += AT_ONCE


class SchedulerKills(Fault):
    """A scheduler is killed, each third time both of them at once, and started anew."""

    name = "scheduler_kills"
    every = 1.5
    _round = 0

    def moments(self, chance: random.Random, times: int, begin: float, end: float) -> list[float]:
        """Three moments kill four."""
        return super().moments(chance, -(-times * 3 // 4), begin, end)

    async def happen(self, world: World, chance: random.Random) -> None:
        """Kill one, or all."""
        self._round += 1
        if self._round % 3:
            await kill(world, "scheduler", 1, chance.random())
            world.counts[self.name] += 1
            return
        with world.window("schedulers"):
            await kill(world, "scheduler", 2, chance.random())
            await world.crew.some_ready("scheduler")
        world.counts[self.name] += 2


class WorkerPauses(Fault):
    """A worker is stopped (SIGSTOP) for twice its lease, then goes on as if nothing had been."""

    name = "worker_pauses"
    every = 1.6

    async def happen(self, world: World, chance: random.Random) -> None:
        """Stop one; it is too late for all it had in hand."""
        (victim,) = await world.take("worker", 1, chance.random())
        victim.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(world.lease * 2.05)
        finally:
            victim.send(signal.SIGCONT)
            victim.busy = False
        world.counts[self.name] += 1
