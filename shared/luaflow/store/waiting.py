"""Waiting for what comes into streams of several slots: one blocked connection for each slot.

A wait takes nothing away: it is an XREAD that tells that there is something, for whoever then reads
it. So it may stay blocked while its worker is busy, and its answer may be too late for anything. A
stream that was found empty is *cold* and is not read again before its wait says so: looking at all
streams of a namespace for each task would cost more than the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

BLOCK_MS = 20_000
"""How long a blocked read stays with the server; a connection silent for longer is dead."""
WAIT_SECONDS = 5.0
"""How long a wait lasts. What was missed, after a clock went back say, is found then."""
BRIEF_SECONDS = 0.3
"""The same where a stream could not be read: its server is away, or its slot moves."""
SEEN_AT_ONCE = 100
"""Entries that one answer passes over: those that others have read stay until they are taken."""

Read = tuple[list[str], asyncio.Task[list[Any]]]
"""Streams of one slot, and what they were asked for."""


class _Blocked(Protocol):
    async def read(self, *command: str | int) -> Any: ...

    async def close(self) -> None: ...


class Waits:
    """The waits of one reader, a connection each; which streams it has to look at."""

    def __init__(self, connect: Callable[[], _Blocked]) -> None:
        self._connect = connect
        self._watchers: dict[str, _Watcher] = {}
        self._watched: set[str] = set()
        self._cold: set[str] = set()
        self.reads: dict[str, Read] = {}
        """Reads on their way, by slot: one may take long where its server hangs."""

    def hot(self, streams: Iterable[str]) -> list[str]:
        """Those that something may be in. Whoever asks looks, and says what it saw (``looked``).

        Raises what the server refused a wait with.
        """
        for watcher in self._watchers.values():
            if watcher.fired():  # and waits again, before anybody looks
                self._cold.difference_update(watcher.streams)
        return [stream for stream in streams if stream not in self._cold]

    def looked(self, streams: Iterable[str], found: Collection[str]) -> None:
        """Note where nothing was; where something was, there may be more."""
        self._cold.update(s for s in streams if s in self._watched and s not in found)

    async def wait(self, parts: Sequence[Sequence[str]], *, briefly: bool = False) -> None:
        """Wait until something comes into streams, given by slot; WAIT_SECONDS at most."""
        seconds = BRIEF_SECONDS if briefly else WAIT_SECONDS
        for streams in parts:
            if not self._watched.issuperset(streams):
                await self._watch(streams)
        tasks = [self._watchers[place_of(streams[0])].told for streams in parts]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not done and not briefly:
            self._cold.clear()

    async def _watch(self, streams: Sequence[str]) -> None:
        old = self._watchers.pop(place_of(streams[0]), None)
        if old:
            await old.close()
        both = dict.fromkeys([*(old.streams if old else ()), *streams])
        self._watchers[place_of(streams[0])] = _Watcher(self._connect(), list(both))
        self._watched.update(both)

    async def close(self) -> None:
        """Stop waiting."""
        watchers, self._watchers = self._watchers, {}
        self._watched.clear()
        self._cold.clear()
        reads, self.reads = self.reads, {}
        for _, read in reads.values():
            read.cancel()
        await asyncio.gather(*(read for _, read in reads.values()), return_exceptions=True)
        for watcher in watchers.values():
            await watcher.close()


class _Watcher:
    """Blocks on streams of one slot; once something came it says so until it is asked."""

    def __init__(self, reader: _Blocked, streams: Sequence[str]) -> None:
        self.streams = list(streams)
        self._reader = reader
        self._seen = dict.fromkeys(streams, "0-0")
        self.told = self._begin()

    def _begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._wait(), name="luaflow-wait")

    def fired(self) -> bool:
        """Whether something came; then it waits for what comes from now on."""
        if not self.told.done():
            return False
        told, self.told = self.told, self._begin()
        told.result()
        return True

    async def _wait(self) -> None:
        while True:
            answer = await self._reader.read(
                *("XREAD", "COUNT", SEEN_AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS"),
                *(*self._seen, *self._seen.values()),
            )
            for stream, entries in answer or ():
                self._seen[bytes(stream).decode()] = bytes(entries[-1][0]).decode()
            if answer:
                return

    async def close(self) -> None:
        """Stop waiting."""
        self.told.cancel()
        await asyncio.gather(self.told, return_exceptions=True)
        await self._reader.close()


def place_of(stream: str) -> str:
    """What the streams of one slot have in common: their partition."""
    return stream.partition("}")[0]
