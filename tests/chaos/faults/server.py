"""Faults of the server's process: killed, paused, its scripts and connections lost."""

from __future__ import annotations

import asyncio
import random
import signal

from tests.chaos.faults.base import Fault
from tests.chaos.world import World


class ServerKills(Fault):
    """The server is killed without notice and started again on its data."""

    name = "server_kills"
    every = 2.4

    async def happen(self, world: World, chance: random.Random) -> None:
        """Kill it; what it had answered must be on its disk."""
        async with world.server.lane:
            if world.network:
                world.network.forget_repeats()
            with world.window("server"):
                await world.server.kill()
        world.counts[f"{self.name}_{world.server.fsync}"] += 1


class ServerPauses(Fault):
    """The server is stopped (SIGSTOP) for one to ten seconds."""

    name = "server_pauses"
    every = 15.0

    async def happen(self, world: World, chance: random.Random) -> None:
        """Stop it; what was sent meanwhile is carried out when it goes on."""
        async with world.server.lane:
            with world.window("server"):
                world.server.send(signal.SIGSTOP)
                try:
                    await asyncio.sleep(1 + 9 * chance.random() ** 3)
                finally:
                    world.server.send(signal.SIGCONT)
        world.counts[self.name] += 1


class ScriptFlushes(Fault):
    """The server forgets all scripts (SCRIPT FLUSH)."""

    name = "script_flushes"

    async def happen(self, world: World, chance: random.Random) -> None:
        """Flush them."""
        async with world.server.lane:
            await world.server.admin.script_flush()
        world.counts[self.name] += 1


class ClientKills(Fault):
    """The server cuts all connections of luaflow (CLIENT KILL)."""

    name = "client_kills"

    async def happen(self, world: World, chance: random.Random) -> None:
        """Cut those of one type: plain ones, or those that wait for news."""
        kind = chance.choice(["normal", "normal", "pubsub"])
        async with world.server.lane:
            cut = await world.server.admin.client_kill_filter(_type=kind)
        world.notes["connections_cut"] += int(cut)
        world.counts[self.name] += 1
