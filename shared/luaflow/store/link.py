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
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import hiredis
from redis.asyncio.connection import Connection
from redis.exceptions import RedisError, ResponseError

from luaflow.errors import InvalidArgument, LuaflowError, Unavailable
from luaflow.store.address import hide_password
from luaflow.store.confirming import FSYNC, command_on, knows_waitaof, syncs_always
from luaflow.store.dialing import close_connection, open_connection
from luaflow.store.refused import error_code
from luaflow.store.scripts import Script, load

log = logging.getLogger(__name__)

Arg = str | bytes | int | float
ANSWER_SECONDS = 30.0
"""A server that answers nothing for this long, with calls open, is taken for dead."""
PREPARE_SECONDS = 10.0
"""How long a server may take to say who it is."""


class ConnectionLost(Unavailable):
    """The connection broke before the answer came: the call may or may not have run."""

    answers: Sequence[Any] = ()
    """Of a batch to several servers: what some have answered; others' are ConnectionLost, too."""


class ScriptFailed(LuaflowError):
    """The keys of a transition make its script fail, whoever sends it and however often."""


HINTS = frozenset({"due"})
"""Scripts whose answer is only where to look: what is done about it is confirmed itself."""


class Call(NamedTuple):
    """A script with its keys and arguments; the server's run id is put before the arguments."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Arg]

    @property
    def confirmed(self) -> bool:
        """Whether the durability level is waited for: of what changes the state of a partition."""
        return self.script.keys[0] == "meta" and self.script.name not in HINTS


def table(flat: Sequence[Any]) -> dict[str, bytes]:
    """The fields of a hash, from an answer that has names and values in turn."""
    return {bytes(k).decode(): bytes(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def pack(command: tuple[Any, ...]) -> bytes:
    """The bytes of a command; its stub knows only tuples of one element."""
    data: bytes = hiredis.pack_command(command)
    return data


_ASKING = pack(("ASKING",))


class _Batch:
    """Commands that left together: their answers, and who waits for all of them."""

    __slots__ = ("answers", "future", "size")

    def __init__(self, size: int, future: asyncio.Future[list[Any]]) -> None:
        self.size = size
        self.future = future
        self.answers: list[Any] = []


def _beside() -> _Batch:
    """A command beside those of a batch, whose caller hears of a broken connection from that."""
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return _Batch(1, future)


class Link:
    """A shared, pipelined connection. ``await link.batch([...])`` is the one way through it."""

    mode: ClassVar[str] = "standalone"
    """What the server has to be, as INFO names it."""

    def __init__(self, url: str, *, name: str = "luaflow", confirm: tuple[Arg, ...] = ()) -> None:
        """Keep the address; ``confirm`` is a WAIT or WAITAOF sent behind every batch of scripts."""
        self.url = url
        self.server = ""
        self.confirm = confirm
        self.on_change: list[Callable[[], None]] = []
        """Told when the connection is made, and when it is lost: the server may be another one."""
        self._name = name
        self._connection: Connection | None = None
        self._open: deque[_Batch] = deque()
        self._buffer: list[bytes] = []
        self._shared: dict[tuple[Arg, ...], _Batch] = {}
        self._loaded: set[bytes] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._connecting = asyncio.Lock()
        self._answered = 0
        self._always = self._waitaof = False

    @property
    def connected(self) -> bool:
        """Return whether the connection stands."""
        return self._connection is not None

    async def connect(self) -> None:
        """Connect and learn the server's run id; Unavailable when that fails."""
        async with self._connecting:
            if self._connection is not None:
                return
            connection = await self._dial()
            try:
                async with asyncio.timeout(PREPARE_SECONDS):
                    await self._prepare(connection)
            except BaseException as error:
                await close_connection(connection)
                if not isinstance(error, (RedisError, OSError)):
                    raise
                why = str(error) or f"nothing within {PREPARE_SECONDS:.0f} s"
                raise Unavailable(f"Redis at {hide_password(self.url)} answered: {why}") from error
            self._connection = connection
            self._wake.clear()
            self._tasks = [
                asyncio.create_task(self._write(connection), name="luaflow-link-write"),
                asyncio.create_task(self._read(connection), name="luaflow-link-read"),
                asyncio.create_task(self._watch(connection), name="luaflow-link-watch"),
            ]
            for tell in self.on_change:
                tell()

    async def _dial(self) -> Connection:
        return await open_connection(self.url, client_name=self._name)

    async def _prepare(self, connection: Connection) -> None:
        """Learn the server's run id and how it syncs."""
        self.server = await self._server_id(connection)
        await connection.send_command(*FSYNC)
        try:
            self._always = syncs_always(await connection.read_response(disable_decoding=True))
        except ResponseError:
            self._always = False
        self._loaded = set()

    async def _server_id(self, connection: Connection) -> str:
        """Return the server's run id; without INFO each connection counts as a new server."""
        await connection.send_command("INFO", "server")
        try:
            text = await connection.read_response(disable_decoding=True)
        except ResponseError:
            return uuid.uuid4().hex
        lines = bytes(text).decode(errors="replace").splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        # Valkey calls it server_mode
        self._check_mode(fields.get("redis_mode") or fields.get("server_mode") or self.mode)
        self._waitaof = knows_waitaof(fields)
        return fields.get("run_id") or uuid.uuid4().hex

    def _check_mode(self, mode: str) -> None:
        """Refuse a server of another kind than the address says (it would refuse each script)."""
        shown = hide_password(self.url)
        where = shown.partition("://")[2] or shown
        if mode == "cluster" and self.mode != "cluster":
            raise InvalidArgument(
                f"{shown} is a node of a Redis Cluster: write redis+cluster://{where}"
            )
        if mode == "sentinel":
            raise InvalidArgument(f"{shown} is a Sentinel: write redis+sentinel://{where}/MASTER")

    async def close(self) -> None:
        """Close the connection; open calls are answered with ConnectionLost."""
        connection, self._connection = self._connection, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._fail()
        if connection:
            await close_connection(connection)

    async def batch(
        self, commands: Iterable[Call | tuple[Arg, ...]], *, asking: bool = False
    ) -> list[Any]:
        """Send commands together and return their answers in order.

        ``asking``: to a node of a cluster that is being given the slot of their keys.

        An answer is bytes, an int, None, a list, or a ``ResponseError`` object where the server
        refused that one command. Raises ConnectionLost when the connection breaks, Unavailable when
        it cannot be made.
        """
        if self._connection is None:
            await self.connect()
        commands = list(commands)
        if not commands:
            return []
        connection = self._connection
        answers = await self._send(commands, asking=asking)
        refused = {i: error_code(a) for i, a in enumerate(answers) if isinstance(a, ResponseError)}
        missing = [i for i, code in refused.items() if code == "NOSCRIPT"]
        if missing:
            if self._connection is not connection:
                raise ConnectionLost  # the others were answered by what may be another server
            again = [commands[i] for i in missing]
            found = await self._send(again, body=True, asking=asking)
            for i, answer in zip(missing, found, strict=True):
                answers[i] = answer
        if "READONLY" in refused.values() and connection:
            # it is a replica now: whoever comes next looks for the primary
            self._lost(connection, ConnectionError("the server takes no writes any more"))
        return answers

    @property
    def confirms(self) -> bool:
        """Whether anything is sent behind a batch of scripts to confirm it."""
        return bool(self._confirming())

    def _confirming(self) -> tuple[Arg, ...]:
        return command_on(self.confirm, always=self._always, waitaof=self._waitaof)

    async def look_at_sync(self) -> None:
        """Learn anew whether the server syncs each write: that may change while it runs."""
        (answer,) = await self.batch([FSYNC])
        self._always = syncs_always(answer)

    async def each(self, *commands: tuple[Arg, ...]) -> dict[str, list[Any]]:
        """Send plain commands to every server; the answers by its address (there is but one)."""
        return {hide_password(self.url): await self.batch(commands)}

    async def _send(
        self,
        commands: Sequence[Call | tuple[Arg, ...]],
        *,
        body: bool = False,
        asking: bool = False,
    ) -> list[Any]:
        connection = self._connection
        if connection is None:
            raise ConnectionLost
        packed = [pack(self._spell(command, body=body)) for command in commands]
        call = next((c for c in commands if isinstance(c, Call) and c.confirmed), None)
        confirm = self._confirming() if call else ()
        if call and confirm:
            # an answer may rest on somebody else's write; WAIT counts what follows one of ours
            marker = ("EVAL", load("confirm").body, 1, call.keys[0], self.server)
            packed.append(pack(marker))
        if asking:
            packed = [part for one in packed for part in (_ASKING, one)]
        self._load(commands)
        batch = _Batch(len(packed), asyncio.get_running_loop().create_future())
        self._open.append(batch)
        self._buffer += packed
        shared = self._join(confirm) if confirm else None
        self._wake.set()
        answers = await batch.future
        if asking:
            answers = answers[1::2]
        if shared:
            marked, (reached,) = answers.pop(), await asyncio.shield(shared.future)
            self._check_confirmed(marked if isinstance(marked, ResponseError) else reached, confirm)
        return answers

    def _load(self, commands: Sequence[Call | tuple[Arg, ...]]) -> None:
        """Send scripts ahead of their first call here: a server's Lua looks through all it has.

        What it answers does not matter: a script that it has not got is sent again with its call.
        """
        for script in (command.script for command in commands if isinstance(command, Call)):
            if script.sha not in self._loaded:
                self._loaded.add(script.sha)
                self._buffer.append(pack(("SCRIPT", "LOAD", script.body)))
                self._open.append(_beside())

    def _join(self, confirm: tuple[Arg, ...]) -> _Batch:
        """The confirmation that is sent behind all that waits to be written."""
        if confirm not in self._shared:
            self._shared[confirm] = _beside()
        return self._shared[confirm]

    def _check_confirmed(self, answer: Any, confirm: tuple[Arg, ...]) -> None:
        """Raise ConnectionLost unless the durability was reached: the outcome is unknown."""
        if isinstance(answer, ResponseError):
            # whatever the reason is, it says nothing about the batch: that stays unknown
            raise ConnectionLost(f"written perhaps, but not confirmed ({answer}): repeating it")
        reached = answer if isinstance(answer, list) else [answer]
        wanted = [int(n) for n in confirm[1:-1]]
        if any(int(got) < want for got, want in zip(reached, wanted, strict=False)):
            told = f"{reached} of {wanted}"
            raise ConnectionLost(f"written, but not confirmed ({told}): repeating it")

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
                joined, self._shared = self._shared, {}
                out += map(pack, joined)
                self._open.extend(joined.values())
                if out:
                    await connection.send_packed_command(b"".join(out), check_health=False)
                if joined:
                    # what is written now would wait at the server, with a confirmation of its own
                    await asyncio.wait([batch.future for batch in joined.values()])
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
        self._fail()
        self._tasks = [asyncio.create_task(close_connection(connection), name="luaflow-link-close")]
        for tell in self.on_change:
            tell()

    def _fail(self) -> None:
        self._buffer, self._shared = [], {}
        while self._open:
            batch = self._open.popleft()
            if not batch.future.done():
                batch.future.set_exception(ConnectionLost())
