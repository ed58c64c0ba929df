"""Which lanes there are: noted when first used, so that workers read them (``domain.lanes``)."""

from __future__ import annotations

from collections.abc import Iterable

from luaflow.domain.lanes import base_of
from luaflow.store import keys
from luaflow.store.store import Store


async def use_lane(store: Store, lane: str) -> None:
    """See to it that workers know of a lane, before the first task is put there."""
    if lane == base_of(lane) or lane in store.lanes:
        return
    key = keys.lanes(store.namespace)
    await store.read(("SADD", key, lane), ("PUBLISH", key, lane))
    store.lanes.add(lane)


async def keep_lanes(store: Store, queues: Iterable[str]) -> None:
    """Note all lanes among queues that are in use: a fail-over may have lost that they were."""
    lanes = [queue for queue in queues if queue != base_of(queue)]
    if not lanes:
        return
    key = keys.lanes(store.namespace)
    (added,) = await store.read(("SADD", key, *lanes))
    if added:
        await store.read(("PUBLISH", key, lanes[0]))


async def lanes_of(store: Store, queues: Iterable[str]) -> set[str]:
    """The lanes of these queues that have ever been used."""
    (members,) = await store.read(("SMEMBERS", keys.lanes(store.namespace)))
    wanted = set(queues)
    return {lane for lane in (bytes(m).decode() for m in members) if base_of(lane) in wanted}
