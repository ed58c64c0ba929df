"""A Redis Cluster made without redis-cli, in two or three seconds; slots move on order.

async with Cluster(folder) as group:  # 3 + 3
    await group.move_slot(7, group.primaries[1])
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from redis.crc import key_slot
from redis.exceptions import ResponseError

from tests.support.nodes import Group, Node, data_node, eventually

SLOTS = 16_384
NODE_TIMEOUT_MS = 2000
"""How long a node must be silent before the others take it for dead."""


class Cluster(Group):
    """``primaries`` that share the slots, each with ``replicas`` of its own."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        primaries: int = 3,
        replicas: int = 1,
        appendfsync: str = "everysec",
    ) -> None:
        super().__init__()
        cluster = (
            *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            # the same replicas stay with the same slots
            *("--cluster-allow-replica-migration", "no"),
        )
        self._shards = primaries
        self.nodes = [
            data_node(folder / f"node-{i}", *cluster, *options, appendfsync=appendfsync)
            for i in range(primaries * (replicas + 1))
        ]
        self.ids: dict[Node, str] = {}

    @property
    def url(self) -> str:
        """The address with all nodes."""
        return f"redis+cluster://{','.join(n.address for n in self.nodes)}"

    async def form(self) -> None:
        """Share the slots out, let the nodes meet, and give each primary its replicas."""
        self.ids = {n: (await n.ask("CLUSTER", "MYID")).decode() for n in self.nodes}
        first = self.nodes[: self._shards]
        for i, node in enumerate(first):
            low, high = SLOTS * i // self._shards, SLOTS * (i + 1) // self._shards - 1
            await node.ask("CLUSTER", "ADDSLOTSRANGE", low, high)
        for epoch, node in enumerate(self.nodes, 1):
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            if node is not self.nodes[0]:
                await node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        await self._all(self._knows_all, "all nodes know each other")
        # (without full coverage a node calls the cluster ok that knows its own slots alone)
        await self._all(self._knows_slots, "all slots are known")
        for i, node in enumerate(self.nodes[self._shards :]):
            await node.ask("CLUSTER", "REPLICATE", self.ids[first[i % self._shards]])
        await self.healthy()

    async def _all(self, ask: Callable[[Node], Awaitable[bool]], what: str) -> None:
        for node in self.nodes:
            if node.running:
                await eventually(partial(ask, node), f"{what} (port {node.port})", 30)

    async def _knows_all(self, node: Node) -> bool:
        told = await node.ask("CLUSTER", "INFO")
        return int(_field(told, "cluster_known_nodes")) == len(self.nodes)

    async def _knows_slots(self, node: Node) -> bool:
        told = await node.ask("CLUSTER", "INFO")
        return int(_field(told, "cluster_slots_assigned")) == SLOTS

    async def _is_ok(self, node: Node) -> bool:
        return _field(await node.ask("CLUSTER", "INFO"), "cluster_state") == "ok"

    async def healthy(self) -> None:
        """Return when every node that runs calls the cluster whole and all replicas are in step."""

        async def placed(node: Node) -> bool:
            told = await node.info("replication")
            return told["role"] == "master" or str(told["master_link_status"]) == "up"

        await self._all(self._is_ok, "cluster_state:ok")
        await self._all(placed, "replicas in step")

    async def primaries(self) -> list[Node]:
        """The nodes that are primaries now, by their own word."""
        return [n for n in self.nodes if n.running and await self._role(n) == "master"]

    async def _role(self, node: Node) -> str:
        return str((await node.info("replication"))["role"])

    async def owner(self, slot: int) -> Node:
        """The node that serves a slot now."""

        async def find() -> Node | None:
            for node in await self.primaries():
                for low, high, (_, port, *_), *_ in await node.ask("CLUSTER", "SLOTS"):
                    if low <= slot <= high and port == node.port:
                        return node
            return None

        return await eventually(find, f"an owner of slot {slot}", 30)

    async def replicas_of(self, primary: Node) -> list[Node]:
        """The nodes that replicate this one; one at least."""

        async def replicates(node: Node) -> bool:
            told = await node.info("replication")
            return told["role"] == "slave" and int(told["master_port"]) == primary.port

        async def find() -> list[Node]:
            others = [n for n in self.nodes if n.running and n is not primary]
            return [n for n in others if await replicates(n)]

        return await eventually(find, f"a replica of port {primary.port}", 30)

    async def replica_of(self, primary: Node) -> Node:
        """A node that replicates this one."""
        return (await self.replicas_of(primary))[0]

    async def failover(self, primary: Node, how: str = "ordered") -> Node:
        """Let a replica of this primary take its place, and return it once it serves.

        ``ordered``: ``CLUSTER FAILOVER``, which loses nothing; ``force``: the same without the old
        primary's help, what is not replicated is lost; ``kill``: the primary is killed, and the
        others find out.
        """
        replicas = await self.replicas_of(primary)
        if how == "kill":
            primary.kill()  # any of them may win the vote
        else:
            replicas = replicas[:1]
            word = () if how == "ordered" else ("FORCE",)
            await replicas[0].ask("CLUSTER", "FAILOVER", *word)

        async def promoted() -> Node | None:
            for replica in replicas:
                if await self._role(replica) == "master":
                    return replica
            return None

        ports = " or ".join(str(replica.port) for replica in replicas)
        heir = await eventually(promoted, f"port {ports} takes over", 30)
        if primary.running:  # it serves on, by its own word, until it hears of its heir

            async def stepped_down() -> bool:
                return await self._role(primary) != "master"

            await eventually(stepped_down, f"port {primary.port} steps down", 30)
        await self._all(self._is_ok, "cluster_state:ok")
        return heir

    async def heal(self) -> None:
        """Start what was killed, let all replicate, and return when the cluster is whole."""
        for node in self.nodes:
            await self.start_again(node)
        for node in self.nodes:
            await self.mend(node)
        await self.healthy()

    async def move_slot(self, slot: int, to: Node) -> None:
        """Move a slot with all its keys."""
        move = SlotMove(self, slot, await self.owner(slot), to)
        await move.begin()
        await move.keys()
        await move.finish()

    def slot(self, key: str) -> int:
        """The slot of a key."""
        found: int = key_slot(key.encode())
        return found


class SlotMove:
    """A slot on its way: ``begin``, ``keys`` (all or some), ``finish``; stop wherever you like.

    Between ``begin`` and ``finish`` clients see ASK and TRYAGAIN.
    """

    def __init__(self, cluster: Cluster, slot: int, source: Node, to: Node) -> None:
        self._cluster = cluster
        self.slot = slot
        self.source = source
        self.to = to

    async def begin(self) -> None:
        """Open the slot on both sides."""
        ids = self._cluster.ids
        await self.to.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", ids[self.source])
        await self.source.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", ids[self.to])

    async def keys(self, most: int | None = None) -> int:
        """Move keys, ``most`` of them or all; returns how many were moved."""
        moved = 0
        while most is None or moved < most:
            count = 100 if most is None else min(100, most - moved)
            found: Sequence[bytes] = await self.source.ask(
                "CLUSTER", "GETKEYSINSLOT", self.slot, count
            )
            if not found:
                break
            await self.source.ask("MIGRATE", "127.0.0.1", self.to.port, "", 0, 5000, "KEYS", *found)
            moved += len(found)
        return moved

    async def finish(self) -> None:
        """Move what is left and hand the slot over."""
        while True:
            await self.keys()
            try:
                await self._hand_over()
            except ResponseError:  # a key was made after the last look
                continue
            return

    async def _hand_over(self) -> None:
        new = self._cluster.ids[self.to]
        await self.to.ask("CLUSTER", "SETSLOT", self.slot, "NODE", new)
        await self.source.ask("CLUSTER", "SETSLOT", self.slot, "NODE", new)
        primaries = [n for n in await self._cluster.primaries() if n not in (self.to, self.source)]
        await asyncio.gather(
            *(n.ask("CLUSTER", "SETSLOT", self.slot, "NODE", new) for n in primaries)
        )

    async def abandon(self) -> None:
        """Close the slot again on both sides; keys that were moved stay where they are."""
        await self.to.ask("CLUSTER", "SETSLOT", self.slot, "STABLE")
        await self.source.ask("CLUSTER", "SETSLOT", self.slot, "STABLE")


def _field(told: object, name: str) -> str:
    """A field of CLUSTER INFO, which redis-py parses or not."""
    if isinstance(told, dict):
        return str(told[name])
    text = told.decode() if isinstance(told, bytes) else str(told)
    return next(x.split(":", 1)[1] for x in text.split("\r\n") if x.startswith(f"{name}:"))
