"""Namespace time, asked for where something is computed from it before a script runs."""

from __future__ import annotations

from luaflow.store.keys import Partition
from luaflow.store.store import Store


async def namespace_now(store: Store, p: Partition) -> int:
    """The namespace time of a partition in ms, as its scripts would have it (design 5.7)."""
    (last, offset, virtual), (seconds, micros) = await store.read(
        ("HMGET", p.meta, "last", "offset", "vtime"), ("TIME",)
    )
    server = int(virtual) if virtual else int(seconds) * 1000 + int(micros) // 1000
    return max(int(last or 0), server + int(offset or 0))
