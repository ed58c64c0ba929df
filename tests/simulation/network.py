"""The network between the actors and the real server: every write passes here, and may go wrong.

The product's own ``Link``, ``Reader`` and ``Subscriber`` run on ``SimConnection``. What they write
arrives after a virtual delay, is run on the real server then, and its answers travel back. Blocked
reads wait here and are tried again when one of their keys changed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any

from redis.exceptions import ConnectionError as Broken

from luaflow.store import scripts
from luaflow.store.link import pack
from luaflow.store.liveness import RECORD_MS
from tests.simulation.faults import Weather
from tests.simulation.loop import ACTOR, Actor, SimLoop
from tests.simulation.repeats import Repeats
from tests.simulation.wire import Command, Server, parse_commands

LATE_SECONDS = (0.5, 60.0)
"""How late a late request or reply may be: past leases, and past a client's patience."""

TICK = 1e-6
"""Seconds between two things that must come one after the other."""


class Parked:
    """A blocked read that waits at the server."""

    def __init__(self, conn: SimConnection, command: list[bytes], keys: set[str]) -> None:
        self.conn = conn
        self.command = command
        self.keys = keys
        self.timer: asyncio.TimerHandle | None = None


class SimConnection:
    """What ``luaflow.store.link.make_connection`` returns: a connection of redis-py, simulated."""

    def __init__(self, net: Network, actor: Actor) -> None:
        self.net = net
        self.actor = actor
        self.is_connected = False
        self.gone = False
        self.silent = False
        self.doomed = False
        self.arrives = 0.0
        self.answers = 0.0
        self.channels: dict[bytes, None] = {}
        self._replies: list[Any] = []
        self._broken = False
        self._waiter: asyncio.Future[None] | None = None

    async def connect(self) -> None:
        """Connect, unless the server is out of reach."""
        await asyncio.sleep(self.net.delay())
        if not self.net.reachable(self.actor):
            raise Broken("simulated: no route to the server")
        self.is_connected = True
        self.net.connections[self] = None
        self.net.connected(self)

    async def disconnect(self, *, nowait: bool = False) -> None:
        """Hang up: the server hears of it later."""
        self.is_connected = False
        self._broken = True
        self._wake()
        self.net.hung_up(self)

    async def send_command(self, *args: Any, check_health: bool = True) -> None:
        """Write one command."""
        await self.send_packed_command(pack(args), check_health=check_health)

    async def send_packed_command(self, data: bytes, *, check_health: bool = True) -> None:
        """Write commands that are packed already."""
        if self._broken or not self.is_connected:
            raise Broken("simulated: the connection is closed")
        self.net.submit(self, data)

    async def read_response(self, *, disable_decoding: bool = False) -> Any:
        """The next answer; a refusal of the server is raised."""
        while not self._replies:
            if self._broken:
                raise Broken("simulated: the connection broke")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def receive(self, replies: Sequence[Any]) -> None:
        """Answers have arrived."""
        if not self._broken and not self.silent:
            self._replies += replies
            self._wake()

    def cut(self) -> None:
        """The client learns that the connection broke; what arrived before can still be read."""
        self._broken = True
        self.is_connected = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Network:
    """Carries what actors write to the server, under a weather."""

    def __init__(
        self, loop: SimLoop, server: Server, chance: random.Random, note: Callable[..., None]
    ) -> None:
        self.connections: dict[SimConnection, None] = {}
        self.weather = Weather()
        self.faults: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.lost_replies: Counter[str] = Counter()
        self.repeats = Repeats()
        self.metas: list[str] = []
        self.skew_ms = 0
        self.furthest_ms = 0
        self.changes = 0
        self.closed = False
        self.kill: Callable[[Actor], None] = lambda _: None

        self._loop = loop
        self._server = server
        self._chance = chance
        self._note = note
        self._shown_ms = -1
        self._nobody = Context()  # what the network does goes on, whoever dies
        self._names: dict[bytes, str] = {}
        self._records: dict[bytes, asyncio.TimerHandle] = {}
        self._parked: list[Parked] = []
        self._unreachable: Counter[Actor] = Counter()
        self._server_id = f"{chance.getrandbits(160):040x}"
        self._generation = 0
        self._copy: tuple[str, list[tuple[bytes, int, bytes]]] = ("", [])
        self._born: dict[SimConnection, int] = {}

    # -- the clock of the server -----------------------------------------------------------------

    @property
    def server_ms(self) -> int:
        """The server's clock, in ms."""
        return 1_000_000_000_000 + round(self._loop.time() * 1000) + self.skew_ms

    def _clock(self) -> list[Command]:
        """What moves the clock in every partition: a simulated namespace reads it there."""
        now = self.server_ms
        if now == self._shown_ms:
            return []
        self._shown_ms = now
        self.furthest_ms = max(self.furthest_ms, now)
        return [("HSET", meta, "vtime", now) for meta in self.metas]

    def jump(self, ms: int) -> None:
        """The server's clock jumps."""
        self.skew_ms += ms
        self._note(None, f"the server's clock jumps by {ms} ms")

    # -- connections -----------------------------------------------------------------------------

    def make(self, url: str, **options: Any) -> SimConnection:
        """Stand in for ``luaflow.store.link.make_connection``."""
        actor = ACTOR.get()
        assert actor is not None, "only actors connect"
        return SimConnection(self, actor)

    def delay(self) -> float:
        """How long one way takes."""
        if self._chance.random() < self.weather.slow:
            return self._chance.uniform(0.01, 0.4)
        return self._chance.uniform(*self.weather.latency)

    def reachable(self, actor: Actor) -> bool:
        """Whether an actor can connect now."""
        return not self._unreachable[actor]

    def connected(self, conn: SimConnection) -> None:
        """A connection stands: it ends with this incarnation of the server."""
        self._born[conn] = self._generation

    def hung_up(self, conn: SimConnection) -> None:
        """The client closed its side; blocked reads end when the server hears of it."""
        self.later(self.delay(), self._forget, conn)

    def _forget(self, conn: SimConnection) -> None:
        conn.gone = True
        self.connections.pop(conn, None)
        self._born.pop(conn, None)
        for parked in [p for p in self._parked if p.conn is conn]:
            self._unpark(parked)

    def break_off(self, conn: SimConnection, *, seen_after: float = 0.0) -> None:
        """Both sides lose a connection; the client sees it a little later."""
        self._forget(conn)
        self.later(seen_after or self.delay(), conn.cut)

    def cut_off(self, actor: Actor, seconds: float) -> None:
        """An actor loses its connections and cannot make new ones for a while."""
        for conn in [c for c in self.connections if c.actor is actor]:
            self.break_off(conn)
        self._unreachable[actor] += 1
        self.later(seconds, self._unreachable.subtract, [actor])

    def cut_all(self) -> None:
        """Every connection breaks."""
        for conn in list(self.connections):
            self.break_off(conn)

    def restart(self) -> None:
        """The server restarts: connections and scripts are gone, its run id is new, data stays."""
        self._generation += 1
        self._server_id = f"{self._chance.getrandbits(160):040x}"
        self.cut_all()
        self.flush_scripts()

    def keep_copy(self, prefix: str) -> None:
        """Copy a partition, as a replica has it that falls behind from now on."""
        (keys,) = self._server.ask(("KEYS", f"{prefix}*"))
        names = sorted(keys)
        dumps = self._server.ask(*(("DUMP", name) for name in names))
        ends = self._server.ask(*(("PTTL", name) for name in names))
        self._copy = (
            prefix,
            [(name, max(0, end), dump) for name, end, dump in zip(names, ends, dumps, strict=True)],
        )

    def fail_over(self) -> None:
        """The replica that fell behind becomes the primary of its partition: the rest is lost."""
        prefix, kept = self._copy
        (keys,) = self._server.ask(("KEYS", f"{prefix}*"))
        self._server.ask(
            *(("DEL", name) for name in sorted(keys)),
            *(("RESTORE", *one) for one in kept),
        )
        self._shown_ms = -1
        self.repeats.forget()
        self.restart()

    def flush_scripts(self) -> None:
        """The server forgets all scripts."""
        self._server.ask(("SCRIPT", "FLUSH"))

    def bury(self, actor: Actor) -> None:
        """An actor died: its connections end, at once or when the server notices."""
        for conn in [c for c in self.connections if c.actor is actor]:
            late = self._chance.uniform(0, 8) if self._chance.random() < 0.3 else 0.0
            self.later(late, self._forget, conn)

    # -- writes ----------------------------------------------------------------------------------

    def later(self, seconds: float, work: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return self._at(self._loop.time() + seconds, work, *args)

    def _at(self, when: float, work: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return self._loop.call_at(when, work, *args, context=self._nobody)

    def submit(self, conn: SimConnection, data: bytes) -> None:
        """Take what a client wrote, and decide what becomes of it."""
        if conn.actor.dead or self.closed:
            return
        commands = list(parse_commands(data))
        fate = self._fate(conn, commands)
        now = self._loop.time()
        if fate:
            self.faults[fate] += 1
            self._note(conn.actor, f"fault: {fate}: {self._spell(commands)}")
        if fate == "request orphaned" and not conn.doomed:
            # the client gives up, and what it wrote arrives later all the same
            self.later(self._chance.uniform(*LATE_SECONDS), self._arrive, conn, commands, fate)
            conn.doomed = True
            self.later(self.delay(), conn.cut)
            return
        if fate == "fell silent":
            conn.silent = True  # half-open: nothing arrives any more, and nobody says so
        if conn.silent or conn.doomed:
            return
        if fate == "killed writing":
            if self._chance.random() < 0.5:
                self.later(self.delay(), self._arrive, conn, commands, fate)
            self.kill(conn.actor)
            return
        late = self._chance.uniform(*LATE_SECONDS) if fate == "request late" else self.delay()
        # in the order they were written: two timers of one moment have none
        conn.arrives = max(conn.arrives + TICK, now + late)
        self._at(conn.arrives, self._arrive, conn, commands, fate)
        if fate == "repeated":
            again = [c for c in commands if c[0] == b"EVALSHA"]
            self.later(self._chance.uniform(0, 20), self._repeat, conn, again)

    def _fate(self, conn: SimConnection, commands: Sequence[list[bytes]]) -> str:
        if self._loop.time() > self.weather.until or conn.silent or conn.doomed:
            return ""
        point = self._chance.random()
        for kind, share in self.weather.wire.items():
            if point < share:
                scripts_only = kind != "repeated" or commands[0][0] == b"EVALSHA"
                return kind if scripts_only else ""
            point -= share
        mortal = not conn.actor.name.startswith("client")
        return "killed writing" if mortal and point < self.weather.kill_on_write else ""

    def _arrive(self, conn: SimConnection, commands: list[list[bytes]], fate: str) -> None:
        if self._born.get(conn, self._generation) != self._generation:
            return
        if fate == "request lost":
            self.break_off(conn)
            return
        if fate == "batch broken":
            commands = commands[: self._chance.randrange(len(commands) + 1)]
        if conn.gone and fate not in {"request orphaned", "killed writing"}:
            return  # what was written behind a break
        replies = self._run(conn, commands)
        if fate in {"batch broken", "reply lost"}:
            for command in commands:
                self.lost_replies[self._name(command)] += 1
            self.break_off(conn)
        elif fate not in {"request orphaned", "killed writing"} and replies:
            self._answer(conn, replies, late=fate == "reply late")

    def _repeat(self, conn: SimConnection, commands: list[list[bytes]]) -> None:
        """The same again, much later: nothing may change, and nobody hears the answers."""
        self._note(conn.actor, f"again: {self._spell(commands)}")
        self._execute(commands)

    def _answer(self, conn: SimConnection, replies: list[Any], *, late: bool = False) -> None:
        now = self._loop.time()
        wait = self._chance.uniform(*LATE_SECONDS) if late else self.delay()
        conn.answers = max(conn.answers + TICK, now + wait)
        self._at(conn.answers, conn.receive, replies)

    def _run(self, conn: SimConnection, commands: list[list[bytes]]) -> list[Any]:
        """Run what arrived; the answers, without that of a read that blocks."""
        if commands and commands[0][0] in {b"SUBSCRIBE", b"UNSUBSCRIBE", b"PING"}:
            return [reply for command in commands for reply in _subscribe(conn, command)]
        if commands and (block := _blocking(commands[0])):
            command, ms, keys = block
            (answer,) = self._execute([command], conn)
            if answer is not None:
                return [_as_blocked(command, answer)]
            parked = Parked(conn, command, keys)
            parked.timer = self.later(ms / 1000, self._expire, parked)
            self._parked.append(parked)
            return []
        return self._execute(commands, conn)

    def _execute(self, commands: list[list[bytes]], conn: SimConnection | None = None) -> list[Any]:
        """Run commands on the real server; pass on what they published, wake who waits."""
        if not commands:
            return []
        loads = commands[0][0] == b"INFO"
        replies, told, changed = self._server.run(self._clock(), commands)
        if conn is not None:
            self._note(conn.actor, self._spell(commands), replies)

        for command, reply in zip(commands, replies, strict=True):
            name = self._name(command)
            self.calls[name] += 1
            self.repeats.look(name, command, reply)
            if name == "announce":
                self._renew(command[3])
            if name == "XREADGROUP" and isinstance(reply, list):
                self._put_again(reply)
        if loads:
            replies = [self._renamed(reply) for reply in replies]
        for channel, message in told:
            self._publish(channel, message)
        if changed:
            self.changes += sum(1 for key in changed if ":hist:" in key)
            self._wake(changed)
        return replies

    def _put_again(self, streams: Sequence[Any]) -> None:
        """Put tasks that were just read into their queue once more, for somebody else to read."""
        if self._loop.time() > self.weather.until or not self.weather.tasks_again:
            return
        for stream, entries in streams:
            for _, fields in entries:
                if fields and self._chance.random() < self.weather.tasks_again:
                    self.faults["task again"] += 1
                    again = [b"XADD", stream, b"NOMKSTREAM", b"*", *fields]
                    self.later(self._chance.uniform(0, 1), self._execute, [again])

    def _renew(self, record: bytes) -> None:
        """A worker's record goes when it was silent for so long in virtual time."""
        if before := self._records.get(record):
            before.cancel()
        seconds = RECORD_MS / 1000
        self._records[record] = self.later(seconds, self._execute, [[b"DEL", record]])

    def _renamed(self, reply: Any) -> Any:
        """INFO, with the run id that this incarnation of the server has in the simulation."""
        if not isinstance(reply, bytes):
            return reply
        lines = reply.split(b"\r\n")
        mine = b"run_id:" + self._server_id.encode()
        return b"\r\n".join(mine if line.startswith(b"run_id:") else line for line in lines)

    # -- blocked reads and messages --------------------------------------------------------------

    def _unpark(self, parked: Parked) -> None:
        if parked in self._parked:
            self._parked.remove(parked)
        if parked.timer:
            parked.timer.cancel()

    def _expire(self, parked: Parked) -> None:
        self._unpark(parked)
        self._answer(parked.conn, [None])

    def _wake(self, keys: set[str]) -> None:
        waiting = [p for p in self._parked if not keys.isdisjoint(p.keys)]
        self._chance.shuffle(waiting)
        for parked in waiting:
            if parked not in self._parked:
                continue
            (answer,) = self._execute([parked.command], parked.conn)
            if answer is not None:
                self._unpark(parked)
                self._answer(parked.conn, [_as_blocked(parked.command, answer)])

    def _publish(self, channel: bytes, message: bytes) -> None:
        for conn in self.connections:
            if channel in conn.channels:
                self._answer(conn, [[b"message", channel, message]])

    # -- names -----------------------------------------------------------------------------------

    def _name(self, command: Sequence[bytes]) -> str:
        if command[0] not in {b"EVALSHA", b"EVAL"}:
            return command[0].decode()
        if command[1] not in self._names:
            for name in scripts.names():
                script = scripts.load(name)
                self._names[script.sha] = name
                self._names[script.body] = name
        return self._names.get(command[1], "EVAL")

    def _spell(self, commands: Sequence[list[bytes]]) -> str:
        return ", ".join(self._name(command) for command in commands)


def _subscribe(conn: SimConnection, command: list[bytes]) -> list[Any]:
    verb, *channels = command
    if verb == b"PING":
        return [b"PONG"]
    if verb == b"SUBSCRIBE":
        conn.channels.update(dict.fromkeys(channels))
    else:
        for channel in channels:
            conn.channels.pop(channel, None)
    kind = verb.lower()
    return [[kind, channel, len(conn.channels)] for channel in channels]


def _blocking(command: list[bytes]) -> tuple[list[bytes], int, set[str]] | None:
    """A blocked read without its BLOCK, the time it may take, the streams it waits for."""
    if command[0] == b"BLPOP":
        _, key, seconds = command
        return [b"LPOP", key], int(seconds) * 1000, {key.decode(errors="replace")}
    if command[0] not in {b"XREAD", b"XREADGROUP"} or b"BLOCK" not in command:
        return None
    at = command.index(b"BLOCK")
    rest = command[:at] + command[at + 2 :]
    streams = rest[rest.index(b"STREAMS") + 1 :]
    keys = {key.decode(errors="replace") for key in streams[: len(streams) // 2]}
    return rest, int(command[at + 1]), keys


def _as_blocked(command: list[bytes], answer: Any) -> Any:
    """The answer in the shape that the blocking form has."""
    return [command[1], answer] if command[0] == b"LPOP" and isinstance(answer, bytes) else answer
