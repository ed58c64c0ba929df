"""The one thing outside: a real server, asked synchronously, and what it tells unasked."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis
from redis._parsers.base import BaseParser
from redis.connection import parse_url

from luaflow.store.link import pack

Command = Sequence[Any]
ENDED = b"simulation-ended"
"""Published behind each batch: whatever was published in it came before."""
WATCHED = ("xadd", "del", "xgroup-create", "rpush")
"""What happens to a key that a blocked read may wait for."""


class _Wire:
    """A connection of blocking calls."""

    def __init__(self, url: str) -> None:
        settings = dict(parse_url(url))  # type: ignore[no-untyped-call]
        if "path" in settings:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(str(settings["path"]))
        else:
            where = (str(settings["host"]), int(settings["port"]))
            self._socket = socket.create_connection(where)
        self._reader = hiredis.Reader(
            replyError=BaseParser.parse_error,
        )

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> Any:
        while (answer := self._reader.gets()) is False:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError("the server of the simulation is gone")
            self._reader.feed(data)
        return answer

    def close(self) -> None:
        self._socket.close()


def parse_commands(data: bytes) -> Iterator[list[bytes]]:
    """The commands in what a client wrote."""
    reader = hiredis.Reader()
    reader.feed(data)
    while (command := reader.gets()) is not False:
        yield command


class Server:
    """The real server: ``run`` returns the answers, what was published and which keys changed."""

    def __init__(self, url: str) -> None:
        self._wire = _Wire(url)
        self._told = _Wire(url)
        self.ask(("CONFIG", "SET", "notify-keyspace-events", "Etgl"))
        channels = (ENDED, *(f"__keyevent@0__:{name}" for name in WATCHED))
        self._told.send(pack(("SUBSCRIBE", *channels)))
        self._told.send(pack(("PSUBSCRIBE", "lf:*")))
        for _ in range(len(channels) + 1):
            self._told.receive()
        self._end = pack(("PUBLISH", ENDED, b""))

    def ask(self, *commands: Command) -> list[Any]:
        """Answers to commands of the simulation itself; what they make happen is not told."""
        self._wire.send(b"".join(pack(tuple(c)) for c in commands))
        return [self._wire.receive() for _ in commands]

    def run(
        self, first: Sequence[Command], commands: Sequence[Command]
    ) -> tuple[list[Any], list[tuple[bytes, bytes]], set[str]]:
        """Answers to ``commands`` (``first`` go before), (channel, message) pairs, changed keys."""
        packed = [pack(tuple(c)) for c in (*first, *commands)]
        self._wire.send(b"".join((*packed, self._end)))
        answers = [self._wire.receive() for _ in range(len(packed) + 1)]
        told: list[tuple[bytes, bytes]] = []
        changed: set[str] = set()
        while True:
            kind, *rest = self._told.receive()
            if kind == b"pmessage":
                told.append((rest[1], rest[2]))
            elif kind == b"message" and rest[0] == ENDED:
                return answers[len(first) : -1], told, changed
            elif kind == b"message":
                changed.add(rest[1].decode(errors="replace"))

    def close(self) -> None:
        """Close both connections."""
        with contextlib.suppress(OSError):
            self._wire.close()
            self._told.close()
