"""The server of a chaos run: its own, on its own folder; nothing else is ever faulted."""

from __future__ import annotations

import asyncio
import os
import resource
import shlex
import signal
import stat
from pathlib import Path
from typing import Any, Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from luaflow.embedded import EmbeddedServer, find_server

FAKETIME = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"),
)


def faketime_library() -> Path | None:
    """The library that moves a process's clock (Debian: faketime); None where there is none."""
    return next((path for path in FAKETIME if path.exists()), None)


def faketime(clock: Path) -> dict[str, str]:
    """What a process needs in its environment for its clock to be moved by the file ``clock``."""
    return {
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def forget_faketime(pid: int) -> None:
    """Remove what the library of a process that was killed left in the shared memory."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (Path("/dev/shm") / name).unlink(missing_ok=True)


class Server:
    """An embedded server that can be killed, stopped, starved and set to another time."""

    def __init__(self, folder: Path, fsync: str, *, binary: Path | None, clocks: bool) -> None:
        self.fsync = fsync
        self.clock = folder / "server.clock"
        folder.mkdir(parents=True)
        self.clock.write_text("+0\n")
        script = self._wrapper(folder, binary or find_server(), clocks=clocks)
        self._embedded = EmbeddedServer(folder / "data", appendfsync=fsync, binary=script)
        self.lane = asyncio.Lock()
        """Held by the fault that is at work on it."""
        self._admin: redis.asyncio.Redis | None = None

    def _wrapper(self, folder: Path, binary: Path, *, clocks: bool) -> Path:
        """A script that becomes the server: a file that may not grow is an error, not its death."""
        lines = ["#!/bin/sh", "trap '' XFSZ"]
        if clocks:
            lines += [f"export {k}={shlex.quote(v)}" for k, v in faketime(self.clock).items()]
        script = folder / "server.sh"
        script.write_text("\n".join([*lines, f'exec {shlex.quote(str(binary))} "$@"', ""]))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return script

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._embedded.url

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self._embedded.data_dir / "server.sock"

    @property
    def admin(self) -> redis.asyncio.Redis:
        """A connection past the network's faults, for those who order them."""
        assert self._admin
        return self._admin

    async def version(self) -> str:
        """Kind and version, e.g. Valkey 9.1.2."""
        info: dict[str, Any] = await self.admin.info("server")
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']}"
        return f"Redis {info['redis_version']}"

    async def memory(self) -> int:
        """What it uses, in bytes."""
        await self.admin.memory_purge()
        info: dict[str, Any] = await self.admin.info("memory")
        return int(info["used_memory"])

    async def kill(self) -> None:
        """Kill it without notice and start it again on its data."""
        os.kill(self._embedded.pid, signal.SIGKILL)
        await self.restart()

    async def restart(self) -> None:
        """Start it again on its data, also where it has died."""
        before = self._embedded.pid
        await asyncio.to_thread(self._embedded.restart)
        forget_faketime(before)

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self._embedded.pid, number)

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._embedded.running

    def limit_files(self, size: int) -> None:
        """Let no file of it grow beyond so many bytes; -1: as it likes."""
        _, hard = resource.prlimit(self._embedded.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._embedded.pid, resource.RLIMIT_FSIZE, (size, hard))

    def largest_file(self) -> int:
        """The size of its largest append-only file."""
        files = (self._embedded.data_dir / "appendonlydir").glob("*.aof")
        return max((path.stat().st_size for path in files), default=0)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._embedded.start)
        self._admin = redis.asyncio.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.admin.aclose()
        last = self._embedded.pid
        await asyncio.to_thread(self._embedded.stop)
        forget_faketime(last)
