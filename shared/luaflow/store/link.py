"""One connection to the server that many callers share: written together, answered in order.

Calls made in the same turn of the event loop leave in one write, so a burst of transitions costs
one round trip. Nothing is ever re-sent here: redis-py's own retries are off because they repeat
scripts silently. A connection that breaks answers every open call with ``ConnectionLost``; the
caller, who knows that its transition is idempotent, repeats it (``Store.run``).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import hiredis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from luaflow.errors import InvalidArgument, LuaflowError, Unavailable
from luaflow.store.scripts import Script, load, names

log = logging.getLogger(__name__)

Arg = str | bytes | int | float
ANSWER_SECONDS = 30.0
"""A server that answers nothing for this long, with calls open, is taken for dead."""
CONNECT_SECONDS = 10.0
"""How long a connection may take until the server has answered its first words."""


class ConnectionLost(Unavailable):
    """The connection broke before the answer came: the call may or may not have run."""


class ScriptFailed(LuaflowError):
    """The keys of a transition make its script fail, whoever sends it and however often."""


class Call(NamedTuple):
    """A script with its keys and arguments; the server's run id is put before the arguments."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Arg]

    @property
    def confirmed(self) -> bool:
        """Whether the durability level is waited for: of what changes the state of a partition."""
        return self.script.keys[0] == "meta"


def pack(command: tuple[Any, ...]) -> bytes:
    """The bytes of a command; its stub knows only tuples of one element."""
    data: bytes = hiredis.pack_command(command)
    return data


class _Batch:
    """Commands that left together: their answers, and who waits for all of them."""

    __slots__ = ("answers", "future", "size")

    def __init__(self, size: int, future: asyncio.Future[list[Any]]) -> None:
        self.size = size
        self.future = future
        self.answers: list[Any] = []


def error_code(error: ResponseError) -> str:
    """Return the first word of a refusal (NOSCRIPT …); redis-py takes known ones off."""
    return error.status_code or str(error).partition(" ")[0]


def failed_inside(error: ResponseError) -> bool:
    """Whether a script failed by itself: over a key of a wrong type, a history that is corrupt."""
    return error_code(error) in {"ERR", "WRONGTYPE"} and "user_script" in str(error)


def make_connection(url: str, **options: Any) -> Connection:
    """Return an unconnected connection for a URL: RESP2 shapes, bytes, no retries of its own."""
    if "://" not in url:
        url = f"redis://{url}"
    try:
        settings: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise InvalidArgument(f"the Redis address {url!r} cannot be read: {error}") from None
    kind = settings.pop("connection_class", Connection)
    settings.update(
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=5,
        **options,
    )
    connection: Connection = kind(**settings)
    return connection


async def open_connection(url: str, **options: Any) -> Connection:
    """Return a connected connection, or raise Unavailable naming the address."""
    connection = make_connection(url, **options)
    try:
        # a frozen server still takes connections, and says nothing
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]
    except (RedisError, OSError) as error:
        await connection.disconnect(nowait=True)
        why = str(error) or f"it does not answer within {CONNECT_SECONDS:.0f} s"
        raise Unavailable(f"cannot reach Redis at {_hide_password(url)}: {why}") from error
    return connection


def _hide_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.split('://')[0]}://…@{tail}" if at else url


class Link:
    """A shared, pipelined connection. ``await link.batch([...])`` is the one way through it."""

    def __init__(self, url: str, *, name: str = "luaflow", confirm: tuple[Arg, ...] = ()) -> None:
        """Keep the address; ``confirm`` is a WAIT or WAITAOF sent behind every batch of scripts."""
        self.url = url
        self.server = ""
        self.confirm = confirm
        self._name = name
        self._connection: Connection | None = None
        self._open: deque[_Batch] = deque()
        self._buffer: list[bytes] = []
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._connecting = asyncio.Lock()
        self._answered = 0

    @property
    def connected(self) -> bool:
        """Return whether the connection stands."""
        return self._connection is not None

    async def connect(self) -> None:
        """Connect, learn the server's run id, load the scripts; Unavailable when that fails."""
        async with self._connecting:
            if self._connection is not None:
                return
            connection = await open_connection(self.url, client_name=self._name)
            try:
                # a server that falls silent now has no open call for the watch to notice
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._prepare(connection)
            except (RedisError, OSError) as error:
                await connection.disconnect(nowait=True)
                raise Unavailable(
                    f"Redis at {_hide_password(self.url)} answered: {error}"
                ) from error
            self._connection = connection
            self._wake.clear()
            self._tasks = [
                asyncio.create_task(self._write(connection), name="luaflow-link-write"),
                asyncio.create_task(self._read(connection), name="luaflow-link-read"),
                asyncio.create_task(self._watch(connection), name="luaflow-link-watch"),
            ]

    async def _prepare(self, connection: Connection) -> None:
        """Learn the server's run id, load the scripts."""
        self.server = await self._server_id(connection)
        for name in names():
            await connection.send_command("SCRIPT", "LOAD", load(name).body)
        for _ in names():
            await connection.read_response(disable_decoding=True)

    @staticmethod
    async def _server_id(connection: Connection) -> str:
        """Return the server's run id; without INFO each connection counts as a new server."""
        await connection.send_command("INFO", "server")
        try:
            text = await connection.read_response(disable_decoding=True)
        except ResponseError:
            return uuid.uuid4().hex
        for line in bytes(text).splitlines():
            if line.startswith(b"run_id:"):
                return line[7:].decode()
        return uuid.uuid4().hex

    async def close(self) -> None:
        """Close the connection; open calls are answered with ConnectionLost."""
        connection, self._connection = self._connection, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._fail()
        if connection:
            await connection.disconnect(nowait=True)

    async def batch(self, commands: Iterable[Call | tuple[Arg, ...]]) -> list[Any]:
        """Send commands together and return their answers in order.

        An answer is bytes, an int, None, a list, or a ``ResponseError`` object where the server
        refused that one command. Raises ConnectionLost when the connection breaks, Unavailable when
        it cannot be made.
        """
        if self._connection is None:
            await self.connect()
        commands = list(commands)
        if not commands:
            return []
        answers = await self._send(commands)
        missing = [
            i
            for i, a in enumerate(answers)
            if isinstance(a, ResponseError) and error_code(a) == "NOSCRIPT"
        ]
        if missing:
            again = [commands[i] for i in missing]
            for i, answer in zip(missing, await self._send(again, body=True), strict=True):
                answers[i] = answer
        return answers

    async def _send(
        self, commands: Sequence[Call | tuple[Arg, ...]], *, body: bool = False
    ) -> list[Any]:
        connection = self._connection
        if connection is None:
            raise ConnectionLost
        packed = [pack(self._spell(command, body=body)) for command in commands]
        call = next((c for c in commands if isinstance(c, Call) and c.confirmed), None)
        confirm = self.confirm if call else ()
        if call and confirm:
            # an answer may rest on somebody else's write; WAIT counts what follows one of ours
            marker = ("EVAL", load("confirm").body, 1, call.keys[0], self.server)
            packed += (pack(marker), pack(confirm))
        size = len(commands) + (2 if confirm else 0)
        batch = _Batch(size, asyncio.get_running_loop().create_future())
        self._open.append(batch)
        self._buffer += packed
        self._wake.set()
        answers = await batch.future
        if confirm:
            reached = answers.pop()
            marked = answers.pop()
            self._check_confirmed(marked if isinstance(marked, ResponseError) else reached)
        return answers

    def _check_confirmed(self, answer: Any) -> None:
        """Raise ConnectionLost unless the durability was reached: the outcome is unknown."""
        if isinstance(answer, ResponseError):
            raise LuaflowError(
                f"the server cannot confirm writes ({answer}); lower the durability level"
            )
        reached = answer if isinstance(answer, list) else [answer]
        wanted = [int(n) for n in self.confirm[1:-1]]
        if any(int(got) < want for got, want in zip(reached, wanted, strict=False)):
            raise ConnectionLost(
                f"written, but not confirmed ({reached} of {wanted}): repeating it"
            )

    def _spell(self, command: Call | tuple[Arg, ...], *, body: bool) -> tuple[Arg, ...]:
        if not isinstance(command, Call):
            return command
        script = command.script
        verb: tuple[Arg, ...] = ("EVAL", script.body) if body else ("EVALSHA", script.sha)
        return (*verb, len(command.keys), *command.keys, self.server, *command.args)

    async def _write(self, connection: Connection) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                out, self._buffer = self._buffer, []
                if out:
                    await connection.send_packed_command(b"".join(out), check_health=False)
        except (RedisError, OSError) as error:
            self._lost(connection, error)

    async def _read(self, connection: Connection) -> None:
        try:
            while True:
                try:
                    answer = await connection.read_response(disable_decoding=True)
                except ResponseError as error:
                    answer = error
                batch = self._open[0]
                batch.answers.append(answer)
                if len(batch.answers) == batch.size:
                    self._open.popleft()
                    self._answered += 1
                    if not batch.future.done():
                        batch.future.set_result(batch.answers)
        except (RedisError, OSError) as error:
            self._lost(connection, error)

    async def _watch(self, connection: Connection) -> None:
        """Give up a connection that holds calls and answers none (a half-open socket)."""
        while True:
            seen = self._answered
            await asyncio.sleep(ANSWER_SECONDS)
            if self._open and self._answered == seen:
                self._lost(connection, TimeoutError(f"no answer for {ANSWER_SECONDS:.0f} s"))
                return

    def _lost(self, connection: Connection, error: Exception) -> None:
        if self._connection is not connection:
            return
        log.warning("connection to Redis lost: %s", error)
        self._connection = None
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._buffer = []
        self._fail()
        self._tasks = [
            asyncio.create_task(connection.disconnect(nowait=True), name="luaflow-link-close")
        ]

    def _fail(self) -> None:
        while self._open:
            batch = self._open.popleft()
            if not batch.future.done():
                batch.future.set_exception(ConnectionLost())
