"""A primary with replicas, and nobody who fails over by itself: ``promote`` does it by hand.

async with Replication(folder, replicas=1) as group:
    await group.cut(group.replicas[0])      # partition first …
    await group.promote(group.replicas[0])  # … and then the fail-over
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.nodes import Group, Node, data_node, eventually


class Replication(Group):
    """One primary and ``replicas`` others that follow it."""

    def __init__(
        self, folder: Path, *options: str, replicas: int = 1, appendfsync: str = "everysec"
    ) -> None:
        super().__init__()
        self.nodes = [
            data_node(folder / f"node-{i}", *options, appendfsync=appendfsync)
            for i in range(replicas + 1)
        ]
        self.primary = self.nodes[0]

    @property
    def url(self) -> str:
        """Where the primary is; another one after ``promote``."""
        return self.primary.url

    @property
    def replicas(self) -> list[Node]:
        """All but the primary."""
        return [node for node in self.nodes if node is not self.primary]

    async def form(self) -> None:
        """Let all follow the primary."""
        await asyncio.gather(*(self.follow(node) for node in self.replicas))

    async def follow(self, node: Node) -> None:
        """Make this node a replica of the primary and return when it is in step."""
        await node.ask("REPLICAOF", "127.0.0.1", self.primary.port)
        await self.linked(node)

    async def wait(self, replicas: int = 1) -> None:
        """Return when so many replicas have all that the primary has."""

        async def reached() -> bool:
            return int(await self.primary.ask("WAIT", replicas, 1000)) >= replicas

        await eventually(reached, f"{replicas} replicas in step")

    async def promote(self, replica: Node) -> Node:
        """Make this replica the primary and return the old one, which is told nothing.

        What the old one has and the new one has not is lost once the old one follows.
        """
        await replica.ask("REPLICAOF", "NO", "ONE")
        old, self.primary = self.primary, replica
        return old
