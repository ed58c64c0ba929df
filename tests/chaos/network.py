"""The network of a chaos run: a proxy that loses, delays, repeats and slows what it carries.

What is lost is counted in commits: a batch of three commits whose replies are lost counts three.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from luaflow.store.scripts import load, names

CHUNK = 1 << 18
SETTLE_SECONDS = 0.01
"""How long a connection that loses its replies stands: the server has read the request by then."""
SLOW_BYTES = 1024
"""What a slow connection carries in a second."""


@dataclass
class Rates:
    """Chances, 0..1: of each commit to lose its reply or its request, of a chunk to be delayed."""

    lost_replies: float = 0.0
    lost_requests: float = 0.0
    repeated: float = 0.0
    delayed: float = 0.0
    delay: tuple[float, float] = (0.05, 0.5)


@dataclass(eq=False)
class Wire:
    """One connection, carried on."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    deaf: bool = False
    slow_until: float = 0.0
    losing: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        """Break it."""
        self.client.transport.abort()
        self.server.transport.abort()


def commands(data: bytes) -> list[bytes] | None:
    """The whole commands a chunk is made of, as they are written; None where it is not."""
    found, at = [], 0
    while at < len(data):
        begin = at
        end = data.find(b"\r\n", at)
        if data[at : at + 1] != b"*" or end < 0:
            return None
        parts, at = int(data[at + 1 : end]), end + 2
        for _ in range(parts):
            end = data.find(b"\r\n", at)
            if data[at : at + 1] != b"$" or end < 0:
                return None
            at = end + 2 + int(data[at + 1 : end]) + 2
        if at > len(data):
            return None
        found.append(data[begin:at])
    return found


class Network:
    """Stands between luaflow's processes and a server on a Unix socket.

    ``async with Network(socket, seed) as network: ...``; clients connect to ``url``.
    """

    def __init__(self, socket: Path, seed: int) -> None:
        self._socket = str(socket)
        self._chance = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._repeats: set[asyncio.Task[None]] = set()
        self._commits = [load(name).sha for name in ("commit", "continue_as_new")]
        self._scripts = {load(name).sha for name in names()}
        self.rates = Rates()
        self.wires: list[Wire] = []
        self.lost_replies = self.lost_requests = self.delayed = self.repeated = self.commits = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def some(self) -> Wire | None:
        """One of the connections of now."""
        return self._chance.choice(self.wires) if self.wires else None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for wire in list(self.wires):
            wire.cut()
        for task in (*self._serving, *self._repeats):
            task.cancel()
        await asyncio.gather(*self._serving, *self._repeats, return_exceptions=True)

    def forget_repeats(self) -> None:
        """Drop what was to be repeated: no network carries it from one server to the next."""
        for task in self._repeats:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self._socket)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            self._serving.discard(task)
            return
        wire = Wire(writer, up_writer)
        self.wires.append(wire)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, wire))
                group.create_task(self._replies(up_reader, wire))
        except* OSError:
            pass
        finally:
            self.wires.remove(wire)
            wire.cut()
            self._serving.discard(task)

    def _strikes(self, rate: float, times: int) -> bool:
        """Whether a chunk with so many commits is hit; one with many is hit no more often, but
        loses many, so that the share of commits is the rate.
        """
        return bool(times) and self._chance.random() < rate

    async def _requests(self, reader: asyncio.StreamReader, wire: Wire) -> None:
        while data := await reader.read(CHUNK):
            commits = sum(data.count(sha) for sha in self._commits)
            self.commits += commits
            if self._strikes(self.rates.lost_requests, commits):
                self.lost_requests += commits
                break
            if self._strikes(self.rates.lost_replies, commits):
                wire.losing += commits
            if self.rates.repeated:
                self._plan_repeats(data)
            await self._carry(data, wire, wire.server)
        raise ConnectionResetError

    async def _replies(self, reader: asyncio.StreamReader, wire: Wire) -> None:
        while data := await reader.read(CHUNK):
            if wire.losing:
                await asyncio.sleep(SETTLE_SECONDS)
                self.lost_replies += wire.losing
                break
            await self._carry(data, wire, wire.client)
        raise ConnectionResetError

    async def _carry(self, data: bytes, wire: Wire, to: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        if self.rates.delayed and self._chance.random() < self.rates.delayed:
            self.delayed += 1
            await asyncio.sleep(self._chance.uniform(*self.rates.delay))
        left = wire.slow_until - loop.time()
        if left > 0:
            await asyncio.sleep(min(left, len(data) / SLOW_BYTES))
        if not wire.deaf:
            to.write(data)
            await to.drain()

    def _plan_repeats(self, data: bytes) -> None:
        for command in commands(data) or ():
            script = any(sha in command[:120] for sha in self._scripts)
            if script and self._chance.random() < self.rates.repeated:
                task = asyncio.create_task(self._repeat(command, self._chance.uniform(0, 3)))
                self._repeats.add(task)
                task.add_done_callback(self._repeats.discard)

    async def _repeat(self, command: bytes, after: float) -> None:
        """Send a request again when its sender has long had its answer."""
        await asyncio.sleep(after)
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return
        try:
            writer.write(command)
            if await reader.read(1):
                self.repeated += 1
        except OSError:
            return
        finally:
            writer.close()
