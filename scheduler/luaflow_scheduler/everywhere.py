"""What all partitions say of themselves: read together, once a turn of the sweep."""

from __future__ import annotations

from typing import Any, NamedTuple

from luaflow.store.store import Store


class Everywhere(NamedTuple):
    """The epochs of all partitions, and whether anybody waits for a lock or a slot of one."""

    epochs: tuple[Any, ...]
    waits: bool


async def look_everywhere(store: Store) -> Everywhere:
    """Ask all partitions."""
    found = await store.read(*(("HMGET", p.meta, "epoch", "waiting") for p in store.partitions))
    return Everywhere(
        tuple(epoch for epoch, _ in found), any(int(waiting or 0) for _, waiting in found)
    )
