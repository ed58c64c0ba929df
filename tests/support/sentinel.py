"""A primary with replicas and Sentinels that watch it: what makes a fail-over by itself.

async with Sentinels(folder) as group:  # 1 + 2 + 3
    group.primary_node.kill()
    await group.failed_over(...)
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from functools import partial
from pathlib import Path

from redis.exceptions import RedisError, ResponseError

from tests.support.nodes import Node, eventually, free_port, server_binary
from tests.support.replication import Replication

MASTER = "main"
"""What the Sentinels call the primary."""
DOWN_AFTER_MS = 1000
"""How long a server must be silent before a Sentinel takes it for dead."""
FAILOVER_MS = 3000
"""The least time between two fail-overs that nobody ordered is twice this."""


class Sentinels(Replication):
    """One primary, ``replicas`` others, ``sentinels`` that watch them, a majority decides."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        replicas: int = 2,
        sentinels: int = 3,
        appendfsync: str = "everysec",
    ) -> None:
        super().__init__(folder, *options, replicas=replicas, appendfsync=appendfsync)
        self._ids = [secrets.token_hex(20) for _ in range(sentinels)]
        self.others = [_sentinel(folder / f"sentinel-{i}") for i in range(sentinels)]

    @property
    def url(self) -> str:
        """The address with all Sentinels and the name of the primary."""
        return f"redis+sentinel://{','.join(s.address for s in self.others)}/{MASTER}"

    async def form(self) -> None:
        """Start the Sentinels, who know each other from their first second, and wait for them."""
        await super().form()
        for sentinel in self.others:
            self._configure(sentinel)
        await asyncio.gather(*(sentinel.start() for sentinel in self.others))
        await self.agreed()

    def _configure(self, sentinel: Node) -> None:
        me = self.others.index(sentinel)
        watch = f"{MASTER} 127.0.0.1 {self.primary.port} {len(self.others) // 2 + 1}"
        lines = [
            f"port {sentinel.port}",
            "bind 127.0.0.1",
            f"sentinel myid {self._ids[me]}",
            f"sentinel monitor {watch}",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER} {FAILOVER_MS}",
            f"sentinel parallel-syncs {MASTER} 2",
            *(f"sentinel known-replica {MASTER} 127.0.0.1 {r.port}" for r in self.replicas),
            *(
                f"sentinel known-sentinel {MASTER} 127.0.0.1 {other.port} {id_}"
                for other, id_ in zip(self.others, self._ids, strict=True)
                if other is not sentinel
            ),
        ]
        sentinel.folder.mkdir(parents=True, exist_ok=True)
        (sentinel.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    async def told_primary(self) -> Node:
        """The node that a majority of the Sentinels calls the primary, and that says so itself."""

        async def agreed() -> Node | None:
            asked = (s.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER) for s in self._awake())
            answers = await asyncio.gather(*asked, return_exceptions=True)
            ports = [int(a[1]) for a in answers if isinstance(a, list)]
            node = next(
                (n for n in self.nodes if ports.count(n.port) > len(self.others) // 2), None
            )
            if node is None or not node.running:
                return None
            return node if (await node.info("replication"))["role"] == "master" else None

        return await eventually(agreed, "the Sentinels agree on a primary", 30)

    def _awake(self) -> list[Node]:
        return [s for s in self.others if s.running]

    async def agreed(self) -> None:
        """Return when every Sentinel could fail over: a quorum, and replicas that answer."""
        for sentinel in self._awake():
            await eventually(partial(self._ready, sentinel), f"Sentinel {sentinel.port}", 30)
        self.primary = await self.told_primary()

    async def _ready(self, sentinel: Node) -> bool:
        try:
            await sentinel.ask("SENTINEL", "CKQUORUM", MASTER)
        except ResponseError:
            return False
        told = await sentinel.ask("SENTINEL", "REPLICAS", MASTER)
        found = [
            dict(zip(r[::2], r[1::2], strict=True)) if isinstance(r, list) else r for r in told
        ]
        good = [r for r in found if _text(r, "flags") == "slave" and _text(r, "runid")]
        return len(good) >= sum(n.running for n in self.nodes) - 1

    async def failover(self, how: str = "ordered") -> Node:
        """Fail over and return the new primary, once the Sentinels agree on it.

        ``ordered``: ``SENTINEL FAILOVER``, the old primary lives and follows the new one later;
        ``kill``: the primary is killed, and the Sentinels find out. Whoever is cut off from
        replication counts as a replica for some seconds, and can be promoted.
        """
        old = await self.told_primary()
        if how == "kill":
            old.kill()
        else:
            await eventually(self._order, "SENTINEL FAILOVER")
        ordered = time.monotonic()

        async def moved() -> Node | None:
            nonlocal ordered
            with contextlib.suppress(AssertionError, RedisError):
                new = await self.told_primary()
                if new is not old:
                    return new
            if how != "kill" and time.monotonic() - ordered > 2 * FAILOVER_MS / 1000:
                await self._order()  # one that was given up is not tried again by itself
                ordered = time.monotonic()
            return None

        # without a majority at the first try there are others, each a while later
        self.primary = await eventually(moved, "another primary", 90)
        return self.primary

    async def _order(self) -> bool:
        # refused while the last fail-over is not over for that Sentinel, or no replica is good
        for sentinel in self._awake():
            with contextlib.suppress(ResponseError):
                return bool(await sentinel.ask("SENTINEL", "FAILOVER", MASTER))
        return False

    async def heal(self) -> None:
        """Start what was killed, let all replicate, and return when the Sentinels are content."""
        for node in self.nodes:
            await self.start_again(node)
        for node in self.nodes:
            await self.mend(node)
        for sentinel in self.others:
            await sentinel.start()
        for node in self.nodes:
            await eventually(partial(self._placed, node), f"the node on port {node.port}", 40)
        await self.agreed()

    async def _placed(self, node: Node) -> bool:
        """Whether a node is the primary, or follows it; one that came back is told to."""
        self.primary = await self.told_primary()
        told = await node.info("replication")
        if node is self.primary:
            return True
        if told["role"] == "master":
            # what the Sentinels would do too, some ten seconds later
            await node.ask("REPLICAOF", "127.0.0.1", self.primary.port)
            return False
        return str(told["master_link_status"]) == "up"


def _sentinel(folder: Path) -> Node:
    config = str(folder / "sentinel.conf")
    arguments = [config, "--sentinel", "--dir", str(folder)]
    return Node(folder, arguments, port=free_port(), binary=server_binary())


def _text(told: dict[object, object], field: str) -> str:
    value = told.get(field, told.get(field.encode(), ""))
    return value.decode() if isinstance(value, bytes) else str(value)
