"""What is measured: a server, workers and a scheduler, each a process of its own, on fresh data."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luaflow.client import Client
from luaflow.deploy import deploy
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace

ROOT = Path(__file__).parents[1]
APP = ROOT / "bench" / "app"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the stack is built. ``profile``: a folder for cProfile files of the workers.

    ``workers``: how many processes decide and run activities; ``queues``: what they serve;
    ``settings``: of the namespace; ``options``: more arguments of the server; ``url``: servers that
    run already, in the place of an embedded one, and ``servers``: their process ids by role.
    """

    data: Path = ROOT / ".luaflow"
    processes: str = "all"
    appendfsync: str = "everysec"
    server: Path | None = None
    profile: Path | None = None
    slow_log: bool = False
    workers: int = 1
    queues: tuple[str, ...] = ("bench",)
    cache: int = 1000
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    url: str = ""
    servers: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Stack:
    """A stack that runs: a client, and the process ids by role."""

    client: Client
    pids: dict[str, int] = field(default_factory=dict)

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by role."""
        return {role: cpu_seconds(pid) for role, pid in self.pids.items()}

    async def bytes(self) -> tuple[int, int]:
        """What the servers hold: bytes of memory, bytes of their append-only files."""
        found = []
        for section, name in (("memory", "used_memory"), ("persistence", "aof_current_size")):
            told = await self.client.store.each_server(("INFO", section))
            lines = [
                line for (text,) in told.values() for line in bytes(text).decode().splitlines()
            ]
            values = [int(line.split(":")[1]) for line in lines if line.startswith(f"{name}:")]
            found.append(sum(values))
        return found[0], found[1]

    async def rewritten(self) -> None:
        """Wait until no append-only file is being rewritten: that takes a core of its own."""
        while True:
            told = await self.client.store.each_server(("INFO", "persistence"))
            texts = [bytes(text) for (text,) in told.values()]
            if not any(b"aof_rewrite_in_progress:1" in text for text in texts):
                return
            await asyncio.sleep(0.2)

    def resident(self, role: str = "worker") -> int:
        """Bytes of memory that a process has now; 0 where there is no /proc."""
        statm = Path(f"/proc/{self.pids[role]}/statm")
        pages = int(statm.read_text().split()[1]) if statm.exists() else 0
        return pages * resource.getpagesize()


def cpu_seconds(pid: int) -> float:
    """CPU seconds a process has used, with its children that ended; 0 where there is no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


@contextlib.asynccontextmanager
async def running(setup: Setup) -> AsyncIterator[Stack]:
    """Start everything; returns when the workers serve. Ends everything, and deletes the data."""
    setup.data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=setup.data))
    try:
        with contextlib.ExitStack() as processes:
            url, pids = setup.url, dict(setup.servers)
            if not url:
                server = processes.enter_context(_server(setup, folder))
                url, pids["server"] = server.url, server.pid
            client = await _prepare(setup, url)
            try:
                for role, command in _commands(setup).items():
                    started = _process(role, [*command, "--redis", url], folder)
                    pids[role] = processes.enter_context(started)
                yield Stack(client, pids | {"client": os.getpid()})
            finally:
                await client.close()
    finally:
        shutil.rmtree(folder)


def _server(setup: Setup, folder: Path) -> EmbeddedServer:
    slow_log = ("--slowlog-log-slower-than", "0", "--slowlog-max-len", "2000000")
    return EmbeddedServer(
        folder / "data",
        appendfsync=setup.appendfsync,
        binary=setup.server,
        extra=(*setup.options, *(slow_log if setup.slow_log else ())),
    )


async def _prepare(setup: Setup, url: str) -> Client:
    """The namespace as it should be, with the app in it."""
    link = make_link(url)
    try:
        await create_namespace(link, "default", Settings(**setup.settings))
    finally:
        await link.close()
    client = await Client.connect(url, "default")
    await deploy(client.store, load_app(APP))
    return client


def _commands(setup: Setup) -> dict[str, list[str]]:
    def worker(role: str, name: str) -> list[str]:
        profiler = []
        if setup.profile:
            profiler = ["-m", "cProfile", "-o", str(setup.profile / f"{name}.prof")]
        options = [word for queue in setup.queues for word in ("--queue", queue)]
        options += ["--app", str(APP), "--role", role, "--cache", str(setup.cache)]
        return [sys.executable, *profiler, "-m", "luaflow_worker.cli", *options]

    commands = {
        "scheduler": [sys.executable, "-m", "luaflow_scheduler.cli", "--metrics-port", "0"],
    }
    if setup.processes == "all":
        several = {f"worker {n}": worker("all", f"worker-{n}") for n in range(2, setup.workers + 1)}
        return {"worker": worker("all", "worker"), **several, **commands}
    return {
        "workflow_worker": worker("workflow", "workflow_worker"),
        "activity_worker": worker("activity", "activity_worker"),
        **commands,
    }


@contextlib.contextmanager
def _process(name: str, command: list[str], folder: Path) -> Iterator[int]:
    """A process of luaflow that has said that it serves; its id."""
    log = folder / f"{name}.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            if not any("serves" in line or "looks after" in line for line in process.stdout):
                sys.exit(f"the {name} did not start:\n{log.read_text()}")
            yield process.pid
        finally:
            process.terminate()
            process.communicate()
