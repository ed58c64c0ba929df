"""A TCP proxy in front of the server that loses replies, cuts connections and falls silent."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import pytest

Losing = list[asyncio.Event]
"""Set when the next replies of a connection are lost; empty: nothing is to be lost."""


class Proxy:
    """Passes bytes on between clients and one server: ``async with Proxy(url) as proxy: ...``.

    ``url`` is where clients connect. Every fault is ordered by a method and happens once.
    """

    def __init__(self, upstream: str) -> None:
        if "+" in upstream.partition("://")[0]:
            pytest.skip("needs one server: a proxy stands before one")
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._deaf: set[asyncio.StreamWriter] = set()
        self._losing: list[tuple[bytes, asyncio.Event]] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.lost = 0
        """How many replies were swallowed."""
        self.refused = 0
        """How many connections were closed as soon as they were made."""
        self._refusing = 0
        self.connections = 0
        """How many connections were made."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{port}"

    def lose_reply(self, to: bytes) -> asyncio.Event:
        """Let the server carry out the next request that holds these bytes, and lose its reply.

        The connection breaks instead, as a client sees a server or network that fails. The
        event is set when the reply is lost.
        """
        done = asyncio.Event()
        self._losing.append((to, done))
        return done

    def cut(self) -> None:
        """Break all connections now; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()

    def refuse(self, times: int) -> None:
        """Close the next connections as soon as they are made."""
        self._refusing = times

    def swallow(self) -> None:
        """Lose all that comes on the connections of now; they stand, as half-open ones do."""
        self._deaf |= self._writers

    def hold(self) -> None:
        """Pass nothing on, in both directions, until ``release``; connections stand."""
        self._flowing.clear()

    def release(self) -> None:
        """Pass everything on again."""
        self._flowing.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        if self._refusing:
            self._refusing -= 1
            self.refused += 1
            writer.transport.abort()
            self._tasks.discard(task)
            return
        up_reader, up_writer = await self._connect()
        both = {writer, up_writer}
        self._writers |= both
        losing: Losing = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, up_writer, losing))
                group.create_task(self._replies(up_reader, writer, losing))
        except* OSError:
            pass
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()
            self._tasks.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._upstream)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(parts.path))
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        losing: Losing,
    ) -> None:
        while data := await reader.read(1 << 20):
            await self._flowing.wait()
            for order in self._losing:
                if order[0] in data:
                    self._losing.remove(order)
                    losing.append(order[1])
                    break
            if writer not in self._deaf:
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError

    async def _replies(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        losing: Losing,
    ) -> None:
        while data := await reader.read(1 << 20):
            await self._flowing.wait()
            if losing:
                self.lost += len(losing)
                for done in losing:
                    done.set()
                break
            if writer not in self._deaf:
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError
