"""Locks of runs that are gone: found where somebody wants them, and given back.

On one server a run and its lock are lost together. The partitions of a cluster are on several,
which lose different writes in a fail-over where the durability is ``fast``: a lock may be left with
a run that was lost, or has ended since.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from luaflow.domain.ids import partition_of
from luaflow.store.entities import FIRST, disown
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.store import Store


class Ghosts:
    """Looks at the locks that runs of a partition wait for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, p: Partition, run_ids: Sequence[str]) -> list[Call]:
        """The calls that take from runs that are gone what others want.

        That is what these runs of a partition wait for, and the lock of this partition that a run
        that does not wait was refused last.
        """
        wanted = await self._wanted(p, run_ids) if run_ids and await self._anybody_waits() else ()
        keys = {key: partition_of(key, len(self._store.partitions)) for key in wanted}
        (denied,) = await self._store.read(("HGET", p.meta, "denied"))
        if denied:
            keys[bytes(denied).decode().removeprefix(p.lock(""))] = p.number
        return [call for key, number in keys.items() for call in await self._of(key, number)]

    async def _of(self, key: str, number: int) -> list[Call]:
        """The calls that take a lock, of this partition, from runs that are gone."""
        entity = self._store.partitions[number]
        (held,) = await self._store.read(("ZRANGE", entity.held(key), 0, FIRST - 1))
        members = [bytes(member).decode() for member in held]
        if not members:
            return []
        fields = (f"i:{member}" for member in members)
        (names,) = await self._store.read(("HMGET", entity.lock(key), *fields))
        calls = []
        for member, name in zip(members, names, strict=True):
            who = bytes(name or b"").decode()
            if await self._is_gone(member, who):
                calls.append(disown(self._store, key, member, who, number))
        return calls

    async def _anybody_waits(self) -> bool:
        counts = await self._store.read(
            *(("HGET", p.meta, "waiting") for p in self._store.partitions)
        )
        return any(int(count or 0) for count in counts)

    async def _wanted(self, p: Partition, run_ids: Sequence[str]) -> set[str]:
        """The keys of the locks that runs asked for, and may wait for."""
        pages = await self._store.read(
            *(("HSCAN", p.pend(i), 0, "MATCH", "c:*", "COUNT", 1000) for i in run_ids)
        )
        records = [orjson.loads(value) for _, flat in pages for value in flat[1::2]]
        return {str(r["key"]) for r in records if r.get("kind") == "lock"}

    async def _is_gone(self, member: str, who: str) -> bool:
        """A first look; the script that gives it back looks again, and decides."""
        home, run_id, _ = member.split("|")
        p = self._store.partitions[int(home)]
        status, chain = await self._store.read(
            ("HGET", p.run(run_id), "status"), ("HMGET", p.wf(who), "status", "first")
        )
        return bool(status != b"running" and chain != [b"running", run_id.encode()])
