"""Reading task streams: never more tasks than free slots, one blocked read a connection.

COUNT is per stream (design 5.11), so a read over n streams asks for ``free // n`` each. When fewer
slots are free than there are streams, it looks at a part of them, then at the next; only when all
are empty it waits on all. What arrives in several of them at that moment and finds no slot is held
back, not taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from luaflow.service import Service
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow.store.tasks import Found, make_groups, read_tasks

MAX_STREAMS = 64
"""Streams one blocked read may name; more take further connections."""
MAX_COUNT = 100
"""Tasks taken from one stream at a time: a batch is decided in one go."""
OTHERS_FIRST = 4
"""While slots run short, the tasks of runs begun here come first, but for each fourth read."""


class Poller(Service):
    """Reads some streams into a handler while slots are free."""

    def __init__(
        self,
        name: str,
        store: Store,
        worker: str,
        groups: Sequence[Sequence[str]],
        *,
        own: Collection[str] = (),
        free: Callable[[], int],
        freed: asyncio.Event,
        handle: Callable[[list[Found]], None],
    ) -> None:
        """``groups`` of streams: those of the first are looked at first.

        ``own``: those of them that nobody else reads, of runs that this worker has begun.
        ``free()`` is the number of free slots, ``freed`` is set when one becomes free.
        """
        super().__init__(name)
        self._store = store
        self._worker = worker
        self._streams = [stream for group in groups for stream in group]
        self._own = [stream for stream in self._streams if stream in own]
        self._groups = [list(group) for group in groups]
        self._free = free
        self._freed = freed
        self._handle = handle
        self._reader = Reader(store.url, f"luaflow-{name}")
        self._turns: dict[tuple[str, int], int] = {}
        self._held: list[Found] = []
        self._retired = False
        self._short = False
        self._reads = 0

    async def open(self) -> None:
        """Make the consumer groups."""
        await make_groups(self._store, self._streams)

    async def close(self) -> None:
        """Drop the connection."""
        await self._reader.close()

    def retire(self) -> None:
        """Read no more, without cutting a read off: what that brings is still handed over."""
        self._retired = True

    async def round(self) -> None:
        """Wait for slots, read, hand over."""
        if self._retired and not self._held:
            await self._reader.close()
            await self.idle()
            return
        self._short = False
        while (free := self._free()) <= 0:
            self._short = True
            self._freed.clear()
            if self._free() <= 0:
                await self.unless_stopped(self._freed.wait())
            if self.stopping:
                return
        if not self._held:
            self._held = await self.unless_stopped(self._read(free)) or []
        # what was free before a read that blocked may have been taken meanwhile
        free = max(0, self._free())
        found, self._held = self._held[:free], self._held[free:]
        if found:
            self._handle(found)

    async def _read(self, free: int) -> list[Found]:
        streams, groups = self._streams, self._groups
        self._reads += 1
        if self._short and self._own and len(groups) == 1 and self._reads % OTHERS_FIRST:
            groups = [self._own, *groups]
        if free < len(streams) or len(groups) > 1:
            for group in groups:
                if found := await self._look(group, free):
                    return found
        count = max(1, min(MAX_COUNT, free // len(streams)))
        return await read_tasks(self._store, self._reader, self._worker, streams, count)

    async def _look(self, streams: Sequence[str], free: int) -> list[Found]:
        """Read a group without waiting: as many streams as there are slots, then the next ones.

        So nothing is over-read, and no stream is passed over for ever.
        """
        step = min(free, len(streams))
        count = max(1, min(MAX_COUNT, free // len(streams)))
        group = streams[0], len(streams)
        for _ in range(0, len(streams), step):
            turn = self._turns.get(group, 0)
            part = [*streams, *streams][turn : turn + step]
            # where this part ends the next one begins, however many slots are free then
            self._turns[group] = (turn + step) % len(streams)
            found = await read_tasks(
                self._store, self._reader, self._worker, part, count, block=False
            )
            if found:
                return found
        return []
