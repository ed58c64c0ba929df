"""What passes between luaflow and its server: requests, their answers, and what scripts do inside.

The tap is a proxy in front of the server, so it sees requests, bytes and round trips whatever the
code between looks like. What scripts do is told by MONITOR, each command behind its script.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import hiredis

from luaflow.store.keys import NAMESPACES
from luaflow.store.link import pack
from luaflow.store.scripts import load, names

QUIET_SECONDS = 0.2
"""So long nothing passes before what was begun counts as done."""
POLLS = frozenset({"XREADGROUP"})
"""Reads that wait: one that found nothing is nobody's step."""
SETTINGS = "the settings"
BACKGROUND = frozenset(
    {
        # commands of connections, and of what is looked at in the background
        *("HELLO", "CLIENT", "AUTH", "SELECT", "PING", "INFO", "CONFIG", "SCRIPT", "TIME"),
        # scripts that run whether or not there is work: presence, schedulers, the server's health
        *("announce", "due", "lead", "may", "head_room", "make_groups", "drop_worker"),
        # what takes long is renewed, what is old is looked at again: a matter of time, not of steps
        *("renew_task", "renew_activity", SETTINGS),
    }
)
_LINE = re.compile(rb"^\+[\d.]+ \[\d+ (\S+)\] (.+)\r\n$", re.DOTALL)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
MOST = 1 << 24
"""Bytes of a line of MONITOR: a script's arguments are all on one."""


def size_of(value: Any) -> int:
    """The bytes of an answer on the wire."""
    if isinstance(value, list):
        return len(f"*{len(value)}\r\n") + sum(map(size_of, value))
    if isinstance(value, bytes):
        return len(value) + len(f"${len(value)}\r\n\r\n")
    return 5 if value is None else len(f":{value}\r\n")


@dataclass
class Passed:
    """What passed: round trips, bytes each way, calls by name, commands inside by script.

    ``written``: bytes of all commands that write, as an append-only file has them.
    """

    trips: int = 0
    sent: int = 0
    received: int = 0
    written: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)


Asked = deque[tuple[str, int]]
"""Name and size of what was sent and has no answer yet."""


class Tap:
    """A proxy to a port of this machine that counts; it has two doors.

    ``url`` is where clients and workers connect. ``scripts_url`` is for schedulers: they look
    around all the time, so of them only scripts count.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._shas = {load(name).sha: name for name in names()}
        self.passed = Passed()
        self.last = time.monotonic()

    @property
    def url(self) -> str:
        return self._url(0)

    @property
    def scripts_url(self) -> str:
        return self._url(1)

    def _url(self, door: int) -> str:
        return f"redis://127.0.0.1:{self._servers[door].sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        for serve in (self._serve, functools.partial(self._serve, only_scripts=True)):
            self._servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def name_of(self, command: list[bytes], *, only_scripts: bool = False) -> str:
        """The script that a request calls, or its verb."""
        verb = command[0].decode().upper()
        if verb == "EVALSHA":
            return self._shas.get(command[1], verb)
        if command[1:2] == [NAMESPACES.encode()]:
            return SETTINGS
        return "PING" if only_scripts else verb

    async def quiet(self) -> None:
        """Return when nothing that counts has passed for a while: silence cannot be waited for."""
        while (left := self.last + QUIET_SECONDS - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        only_scripts: bool = False,
    ) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        both, asked = {writer, up_writer}, Asked()
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, up_writer, asked, only_scripts))
                group.create_task(self._answers(up_reader, writer, asked))
        except* OSError:
            pass
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()
            self._tasks.discard(task)

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: Asked,
        only_scripts: bool,
    ) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(1 << 20):
            parser.feed(data)
            counted = False
            while (command := parser.gets()) is not False:
                name = self.name_of(command, only_scripts=only_scripts)
                asked.append((name, len(pack(tuple(command)))))
                if command[0].upper().endswith(b"SUBSCRIBE"):  # each channel is answered
                    asked.extend([(name, 0)] * (len(command) - 2))
                counted = counted or name not in BACKGROUND | POLLS
            if counted:
                self.passed.trips += 1
                self.last = time.monotonic()
            writer.write(data)
        raise ConnectionResetError

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked
    ) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(1 << 20):
            parser.feed(data)
            while (answer := parser.gets()) is not False:
                # whether the news of an end comes before it is read is chance: that does not count
                if not (isinstance(answer, list) and answer[:1] == [b"message"]):
                    self._count(*asked.popleft(), answer)
            writer.write(data)
        raise ConnectionResetError

    def _count(self, name: str, size: int, answer: Any) -> None:
        if name in BACKGROUND or (name in POLLS and answer is None):
            return
        self.last = time.monotonic()
        self.passed.trips += name in POLLS
        self.passed.calls[name] += 1
        self.passed.sent += size
        self.passed.received += size_of(answer)


class Monitor:
    """What MONITOR tells of a server, by the script that each command stands behind."""

    def __init__(self, socket: str, tap: Tap) -> None:
        self._socket = socket
        self._tap = tap

    @contextlib.asynccontextmanager
    async def counting(self) -> AsyncIterator[None]:
        """Count what happens meanwhile; it is in the tap's ``passed`` afterwards."""
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=MOST)
        try:
            writer.write(b"COMMAND LIST FILTERBY ACLCAT write\r\nMONITOR\r\n")
            writes = {await self._text(reader) for _ in range(int((await reader.readline())[1:]))}
            await reader.readline()
            yield
            mark = uuid.uuid4().hex.encode()
            _, other = await asyncio.open_unix_connection(self._socket)
            other.write(b"ECHO " + mark + b"\r\n")
            await self._read(reader, mark, writes)
            other.close()
        finally:
            writer.close()

    async def _text(self, reader: asyncio.StreamReader) -> bytes:
        await reader.readline()
        return (await reader.readline()).strip().upper()

    async def _read(self, reader: asyncio.StreamReader, mark: bytes, writes: set[bytes]) -> None:
        passed, script = self._tap.passed, ""
        while mark not in (line := await reader.readline()):
            found = _LINE.match(line)
            assert found, line
            words = [_plain(word) for word in _WORD.findall(found[2])]
            if found[1] != b"lua":
                script = self._tap.name_of(words)
            elif script not in BACKGROUND and not (_wakes(words) or _moves_clock(words)):
                passed.inside[script] += 1
            else:
                continue
            if words[0].upper() in writes and script not in BACKGROUND | POLLS:
                passed.written += len(pack(tuple(words)))


def _plain(word: bytes) -> bytes:
    """A word as it was before MONITOR made it readable."""
    return word.decode("unicode_escape").encode("latin1")


def _moves_clock(words: list[bytes]) -> bool:
    """Whether the time of a partition is noted: once a millisecond, so a matter of speed."""
    return words[2:3] == [b"last"] and len(words) == 4


def _wakes(words: list[bytes]) -> bool:
    """Whether a scheduler is told to look earlier than it would: a matter of when it last did."""
    return words[2:3] == [b"wake"] or (words[0] == b"PUBLISH" and words[1].endswith(b":bell"))
