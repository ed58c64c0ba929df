"""Faults of clocks: the workers' and schedulers' own, and the server's, by libfaketime."""

from __future__ import annotations

import asyncio
import random
import time

from tests.chaos.faults.base import Fault
from tests.chaos.world import World

HOUR = 3600.0


class WorkerClocks(Fault):
    """The clocks of all workers and schedulers jump by an hour or a second, either way."""

    name = "worker_clock_jumps"
    every = 4.0
    needs = frozenset({"clocks"})

    async def happen(self, world: World, chance: random.Random) -> None:
        """Nobody may look at them."""
        world.set_clock(world.crew_clock, chance.choice([-HOUR, -1.0, 1.0, HOUR]))
        world.counts["clock_jumps"] += 1
        world.notes[self.name] += 1
        await asyncio.sleep(0.5)


class ServerClocks(Fault):
    """The server's clock jumps: an hour or a second ahead for good, a second or an hour back; an
    hour back only for two seconds, because time stands still until the clock is where it was.
    """

    name = "server_clock_jumps"
    every = 6.0
    needs = frozenset({"clocks"})

    async def happen(self, world: World, chance: random.Random) -> None:
        """Set it; leases and timers go by it and by nothing else."""
        by = chance.choice([-HOUR, -1.0, 1.0, HOUR])
        async with world.server.lane:
            with world.window("clock"):
                await self._set(world, by)
                if by == -HOUR:
                    await asyncio.sleep(2)
                    await self._set(world, HOUR)
        world.counts["clock_jumps"] += 1
        world.notes[self.name] += 1

    @staticmethod
    async def _set(world: World, by: float) -> None:
        world.offset += by
        world.set_clock(world.server.clock, world.offset)
        seconds, _ = await world.server.admin.time()
        assert abs(seconds - time.time() - world.offset) < 2, "the server's clock did not jump"
