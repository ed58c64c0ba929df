"""Faults of the server's memory and disk: out of memory, a wrong policy, a log it cannot write."""

from __future__ import annotations

import asyncio
import random

from tests.chaos.faults.base import Fault
from tests.chaos.world import World

MEGABYTE = 1 << 20
ACCEPTED_SECONDS = 10.0
"""How long after a shortage of memory starts may be refused."""


class OutOfMemory(Fault):
    """maxmemory becomes what is in use and 1 MB, for some seconds, and is lifted again."""

    name = "oom_episodes"
    every = 12.0

    async def happen(self, world: World, chance: random.Random) -> None:
        """Starts are refused meanwhile; what runs goes on."""
        admin = world.server.admin
        async with world.server.lane:
            with world.window("server"):
                used = (await admin.info("memory"))["used_memory"]
                await admin.config_set("maxmemory", used + MEGABYTE)
                try:
                    await asyncio.sleep(2 + 3 * chance.random())
                finally:
                    await admin.config_set("maxmemory", 0)
                await self._accepted(world)
        world.counts[self.name] += 1

    @staticmethod
    async def _accepted(world: World) -> None:
        """Return when no partition refuses starts any more; a scheduler has to see that first."""
        async with asyncio.timeout(ACCEPTED_SECONDS):
            for p in world.client.store.partitions:
                while await world.server.admin.hexists(p.meta, "full"):
                    await asyncio.sleep(0.05)


class EvictionChanges(Fault):
    """maxmemory-policy becomes allkeys-lru while all runs, for a moment, and noeviction again."""

    name = "eviction_changes"
    every = 10.0

    async def happen(self, world: World, chance: random.Random) -> None:
        """Change it; nothing is evicted, because there is no limit."""
        admin = world.server.admin
        async with world.server.lane:
            await admin.config_set("maxmemory-policy", "allkeys-lru")
            try:
                await asyncio.sleep(1 + 2 * chance.random())
            finally:
                await admin.config_set("maxmemory-policy", "noeviction")
        world.counts[self.name] += 1


class AofErrors(Fault):
    """The server's log may not grow: with everysec it refuses writes (MISCONF), with always it
    ends itself; then it may again.
    """

    name = "aof_errors"
    every = 12.0

    async def happen(self, world: World, chance: random.Random) -> None:
        """Limit the size of its files for some seconds; start it again where it ended."""
        server = world.server
        async with server.lane:
            if world.network:
                world.network.forget_repeats()
            with world.window("server"):
                server.limit_files(server.largest_file() + 4096)
                try:
                    await asyncio.sleep(2 + 2 * chance.random())
                finally:
                    if server.running:
                        server.limit_files(-1)
                    else:
                        await server.restart()
                        world.notes["aof_error_ended_the_server"] += 1
                # with everysec it tries again each second
                while (await server.admin.info("persistence"))["aof_last_write_status"] != "ok":
                    await asyncio.sleep(0.05)
        world.counts[self.name] += 1
