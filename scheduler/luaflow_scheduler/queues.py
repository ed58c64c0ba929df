"""Which task queues a namespace has: those deployed, and those that open runs were seen in."""

from __future__ import annotations

import orjson

from luaflow.store import keys
from luaflow.store.lanes import keep_lanes
from luaflow.store.store import Store

MOST = 200
"""Queues that are looked after beyond the deployed ones: names come from users."""


class Queues:
    """The names of task queues, learned as they are met."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, None] = {}

    def met(self, name: str) -> None:
        """Remember a queue that a run names; the oldest is forgotten beyond MOST."""
        self._seen.pop(name, None)
        self._seen[name] = None
        if len(self._seen) > MOST:
            del self._seen[next(iter(self._seen))]

    async def names(self) -> list[str]:
        """The names, sorted."""
        hosts = keys.hosts(self._store.namespace)
        types = keys.types(self._store.namespace)
        tables = await self._store.read(("HVALS", hosts), ("HVALS", types))
        deployed = {orjson.loads(text).get("task_queue") for table in tables for text in table}
        names = sorted({name for name in deployed if name} | set(self._seen))
        await keep_lanes(self._store, names)  # whoever put a task there may have died before
        return names
