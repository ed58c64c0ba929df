"""Waiting for what comes into streams of several slots: one blocked connection for each slot.

A wait takes nothing away: it is an XREAD that tells that there is something, for whoever then reads
it. So it may stay blocked while its worker is busy, and its answer may be too late for anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

WAIT_MS = 5_000
"""How long a wait lasts. An entry that was missed, after a clock went back say, is found then."""
SEEN_AT_ONCE = 100
"""Entries that one answer passes over: those that others have read stay until they are taken."""


class _Blocked(Protocol):
    async def read(self, *command: str | int) -> Any: ...

    async def close(self) -> None: ...


class Watcher:
    """Blocks on streams of one slot; once something came it says so until it is set anew."""

    def __init__(self, reader: _Blocked, streams: Sequence[str]) -> None:
        self.streams = list(streams)
        self._reader = reader
        self._seen = dict.fromkeys(streams, "0-0")
        self._task: asyncio.Task[None] | None = None

    def told(self) -> asyncio.Task[None]:
        """The wait: done when something came."""
        if self._task is None:
            self._task = asyncio.create_task(self._wait(), name="luaflow-wait")
        return self._task

    def heed(self) -> None:
        """Whoever calls this looks now: what came until then says nothing any more.

        Raises what the server refused the wait with.
        """
        if self._task and self._task.done():
            self._task.result()
            self._task = None

    async def _wait(self) -> None:
        while True:
            answer = await self._reader.read(
                *("XREAD", "COUNT", SEEN_AT_ONCE, "BLOCK", WAIT_MS, "STREAMS"),
                *(*self._seen, *self._seen.values()),
            )
            for stream, entries in answer or ():
                self._seen[bytes(stream).decode()] = bytes(entries[-1][0]).decode()
            if answer:
                return

    async def close(self) -> None:
        """Stop waiting."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._reader.close()


async def first(watchers: Sequence[Watcher]) -> None:
    """Wait until something comes to one of them, or WAIT_MS."""
    tasks = [watcher.told() for watcher in watchers]
    await asyncio.wait(tasks, timeout=WAIT_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
