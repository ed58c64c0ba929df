"""What is measured: a server, workers and a scheduler, each a process of its own, on fresh data."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from luaflow.client import Client
from luaflow.deploy import deploy
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app

ROOT = Path(__file__).parents[1]
APP = ROOT / "bench" / "app"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the stack is built. ``profile``: a folder for cProfile files of the workers."""

    data: Path = ROOT / ".luaflow"
    processes: str = "all"
    appendfsync: str = "everysec"
    server: Path | None = None
    profile: Path | None = None
    slow_log: bool = False


@dataclass(slots=True)
class Stack:
    """A stack that runs: a client, and the process ids by role."""

    client: Client
    pids: dict[str, int] = field(default_factory=dict)

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by role."""
        return {role: cpu_seconds(pid) for role, pid in self.pids.items()}

    async def bytes(self) -> tuple[int, int]:
        """What the server holds: bytes of memory, bytes of its append-only file."""
        found = []
        for section, name in (("memory", "used_memory"), ("persistence", "aof_current_size")):
            (text,) = await self.client.store.read(("INFO", section))
            lines = bytes(text).decode().splitlines()
            found += [int(line.split(":")[1]) for line in lines if line.startswith(f"{name}:")]
        return found[0], found[1]


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
    slow_log = ("--slowlog-log-slower-than", "0", "--slowlog-max-len", "2000000")
    server = EmbeddedServer(
        folder / "data",
        appendfsync=setup.appendfsync,
        binary=setup.server,
        extra=slow_log if setup.slow_log else (),
    )
    try:
        with server, contextlib.ExitStack() as processes:
            client = await Client.connect(server.url, "default")
            try:
                await deploy(client.store, load_app(APP))
                stack = Stack(client, {"server": server.pid})
                for role, command in _commands(setup).items():
                    started = _process(role, [*command, "--redis", server.url], folder)
                    stack.pids[role] = processes.enter_context(started)
                stack.pids["client"] = os.getpid()
                yield stack
            finally:
                await client.close()
    finally:
        shutil.rmtree(folder)


def _commands(setup: Setup) -> dict[str, list[str]]:
    def worker(role: str, name: str) -> list[str]:
        profiler = []
        if setup.profile:
            profiler = ["-m", "cProfile", "-o", str(setup.profile / f"{name}.prof")]
        options = ["--queue", "bench", "--app", str(APP), "--role", role]
        return [sys.executable, *profiler, "-m", "luaflow_worker.cli", *options]

    commands = {
        "scheduler": [sys.executable, "-m", "luaflow_scheduler.cli", "--metrics-port", "0"],
    }
    if setup.processes == "all":
        return {"worker": worker("all", "worker"), **commands}
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
