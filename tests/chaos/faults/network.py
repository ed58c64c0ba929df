"""Faults of the network: requests and replies lost, delayed, repeated; sockets half open, slow."""

from __future__ import annotations

import asyncio
import random
from typing import ClassVar

from tests.chaos.faults.base import Ambient, Fault
from tests.chaos.network import Network
from tests.chaos.world import World

SHARE = 0.05
"""Of commits, that lose their reply or their request."""
REMEMBERED = 200


def network_of(world: World) -> Network:
    """The proxy, which is there because the fault needs it."""
    assert world.network
    return world.network


class LostReplies(Ambient):
    """5% of commits are carried out, and their replies lost with the connection."""

    name = "lost_replies"
    least = 30.0

    def begin(self, world: World) -> None:
        """Lose them from now on."""
        network_of(world).rates.lost_replies = SHARE

    def counted(self, world: World) -> int:
        """In commits."""
        return network_of(world).lost_replies


class LostRequests(Ambient):
    """5% of commits are lost on their way, with the connection."""

    name = "lost_requests"
    least = 30.0

    def begin(self, world: World) -> None:
        """Lose them from now on."""
        network_of(world).rates.lost_requests = SHARE

    def counted(self, world: World) -> int:
        """In commits."""
        return network_of(world).lost_requests


class DelayedRequests(Ambient):
    """2% of what is sent, in both directions, comes 50 to 500 ms later."""

    name = "delayed_requests"
    least = 30.0

    def begin(self, world: World) -> None:
        """Delay from now on."""
        network_of(world).rates.delayed = 0.02

    def counted(self, world: World) -> int:
        """In chunks."""
        return network_of(world).delayed


class DuplicatedRequests(Ambient):
    """2% of all requests come a second time, up to three seconds later, from nowhere."""

    name = "duplicated_requests"
    least = 30.0

    def begin(self, world: World) -> None:
        """Repeat from now on."""
        network_of(world).rates.repeated = 0.02

    def counted(self, world: World) -> int:
        """In requests."""
        return network_of(world).repeated + world.notes["duplicated_tasks"]


class DuplicatedTasks(Fault):
    """Entries of the task queues are added a second time, also long after they were taken."""

    name = "duplicated_tasks"
    every = 0.25
    _seen: ClassVar[list[tuple[str, dict[bytes, bytes]]]] = []

    async def happen(self, world: World, chance: random.Random) -> None:
        """Look at the queues of all partitions; add one of those seen lately."""
        admin, seen = world.server.admin, self._seen
        streams = [
            stream
            for p in world.client.store.partitions
            for stream in (p.workflow_queue("orders"), p.activity_queue("orders"))
        ]
        async with world.server.lane:
            while True:
                async with admin.pipeline(transaction=False) as asked:
                    for stream in streams:
                        asked.xrange(stream, count=5)
                    found = await asked.execute()
                for stream, entries in zip(streams, found, strict=True):
                    seen += [(stream, fields) for _, fields in entries]
                del seen[:-REMEMBERED]
                if seen:
                    stream, fields = chance.choice(seen)
                    if await admin.xadd(stream, fields, nomkstream=True):  # type: ignore[arg-type]
                        break
                await asyncio.sleep(0.01)
        world.counts["duplicated_requests"] += 1
        world.notes[self.name] += 1


class HalfOpen(Fault):
    """A connection stands and carries nothing any more, in either direction."""

    name = "half_open"
    every = 6.0
    needs = frozenset({"network"})

    async def happen(self, world: World, chance: random.Random) -> None:
        """Whoever has it finds out by itself."""
        with world.window("network"):
            if wire := network_of(world).some():
                wire.deaf = True
        world.counts[self.name] += 1


class SlowLinks(Fault):
    """A connection carries 1 KB/s for three seconds."""

    name = "slow_links"
    every = 3.0
    needs = frozenset({"network"})

    async def happen(self, world: World, chance: random.Random) -> None:
        """Slow one down."""
        with world.window("network"):
            if wire := network_of(world).some():
                wire.slow_until = asyncio.get_running_loop().time() + 3
                await asyncio.sleep(3)
        world.counts[self.name] += 1
