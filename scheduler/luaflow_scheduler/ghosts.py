"""Locks of runs that are gone: found where somebody wants them, and given back.

On one server a run and its lock are lost together. The partitions of a cluster are on several,
which lose different writes in a fail-over where the durability is ``fast``: a lock may be left with
a run that was lost, or has ended since.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from luaflow.store.holders import give_back, holders
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.store import Store


class Ghosts:
    """Looks at the locks that runs of a partition wait for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(
        self, p: Partition, run_ids: Sequence[str], *, somebody_waits: bool = True
    ) -> list[Call]:
        """The calls that take from runs that are gone what others want.

        That is what these runs of a partition wait for, and the lock of this partition that a run
        that does not wait was refused last.
        """
        keys = await self._wanted(p, run_ids) if run_ids and somebody_waits else set()
        (denied,) = await self._store.read(("HGET", p.meta, "denied"))
        if denied:
            keys.add(bytes(denied).decode().removeprefix(p.lock("")))
        return [
            give_back(self._store, key, holder)
            for key in sorted(keys)
            for holder in await holders(self._store, key)
            if holder.gone
        ]

    async def _wanted(self, p: Partition, run_ids: Sequence[str]) -> set[str]:
        """The keys of the locks that runs asked for, and may wait for."""
        pages = await self._store.read(
            *(("HSCAN", p.pend(i), 0, "MATCH", "c:*", "COUNT", 1000) for i in run_ids)
        )
        records = [orjson.loads(value) for _, flat in pages for value in flat[1::2]]
        return {str(r["key"]) for r in records if r.get("kind") == "lock"}
