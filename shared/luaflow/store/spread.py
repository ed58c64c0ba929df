"""Work in several partitions at once: what may wait for one another, and what must not.

On one server all partitions are there, or away, together: what is done in them goes in one round
trip. On a cluster the primary of some may be failing over, and a batch is answered as a whole only
when they are back; so whoever works for many runs goes by partition there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from luaflow.store.address import parse_address
from luaflow.store.keys import Partition
from luaflow.store.store import Store

T = TypeVar("T")


def is_spread(store: Store) -> bool:
    """Whether some partitions may be away while others are there."""
    return parse_address(store.url).kind == "cluster"


def by_partition(
    store: Store, items: Iterable[T], partition: Callable[[T], Partition]
) -> list[list[T]]:
    """Items in groups that may wait for one another: all of them, or those of each partition."""
    if not is_spread(store):
        return [list(items)]
    groups: dict[int, list[T]] = {}
    for item in items:
        groups.setdefault(partition(item).number, []).append(item)
    return list(groups.values())


async def severally(
    groups: Iterable[list[T]], work: Callable[[list[T]], Awaitable[None]], *, within: float
) -> None:
    """Do the same for several groups at once; what takes longer than ``within`` s is given up.

    One group alone takes as long as it takes. What one fails with is raised when all are done.
    """
    groups = list(groups)
    if len(groups) == 1:
        await work(groups[0])
        return

    async def bounded(group: list[T]) -> None:
        async with asyncio.timeout(within):
            await work(group)

    for end in await asyncio.gather(*map(bounded, groups), return_exceptions=True):
        if isinstance(end, BaseException) and not isinstance(end, TimeoutError):
            raise end
