"""The workers and schedulers of a chaos run: forked by a zygote, watched, killed, started anew."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from tests.chaos.server import forget_faketime

ROOT = Path(__file__).parents[2]
Kind = Literal["worker", "scheduler"]
READY = {"worker": "serves", "scheduler": "looks after"}
START_SECONDS = 60.0
LOOK_SECONDS = 0.02
_WHO = re.compile(r"luaflow-worker (\w+) \(process")


@dataclass
class Process:
    """One worker or scheduler. ``busy``: a fault is at work on it."""

    kind: Kind
    number: int
    options: tuple[str, ...]
    pid: int
    log: Path
    began: float
    fd: int
    busy: bool = False
    invited: bool = False
    """Whether its end was wanted."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _works: bool = False

    @property
    def name(self) -> str:
        """What it says it is: a worker's id; nothing before it has said so."""
        found = _WHO.search(self.log.read_text(errors="replace"))
        return found[1] if found else ""

    @property
    def works(self) -> bool:
        """Whether it has said that it is ready."""
        if not self._works:
            self._works = READY[self.kind] in self.log.read_text(errors="replace")
        return self._works

    def send(self, number: int) -> None:
        """Send a signal to this very process, also where its id has another one by now."""
        try:
            signal.pidfd_send_signal(self.fd, number)
        except ProcessLookupError:
            return


class Crew:
    """All processes of a run: ``async with Crew(folder, common) as crew: ...``; Linux only.

    ``common`` are options of all of them. Who ends uninvited is started again, as an orchestrator
    would, and counted in ``crashed``.
    """

    def __init__(
        self,
        folder: Path,
        common: tuple[str, ...],
        environment: dict[str, str],
        zygote: dict[str, str],
    ) -> None:
        self._folder = folder
        self._common = common
        self._environment = environment
        self._zygote_environment = zygote
        self._zygote: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()
        self._number = 0
        self.living: list[Process] = []
        self.all: list[Process] = []
        self.crashed: list[Process] = []
        self._again: set[asyncio.Task[None]] = set()
        self.closing = False

    def of(self, kind: Kind) -> list[Process]:
        """Those of a kind that live and that no fault is at work on."""
        return [p for p in self.living if p.kind == kind and not p.busy]

    async def start(self, kind: Kind, *options: str) -> Process:
        """Start one; returns at once, see ``ready``."""
        self._number += 1
        log = self._folder / f"{kind}-{self._number}.log"
        request = {
            "program": kind,
            "arguments": [*self._common, *options],
            "environment": self._environment,
            "log": str(log),
        }
        log.touch()
        assert self._zygote
        assert self._zygote.stdin
        assert self._zygote.stdout
        async with self._asking:
            self._zygote.stdin.write(json.dumps(request).encode() + b"\n")
            pid = int(await self._zygote.stdout.readline())
        fd = os.pidfd_open(pid)
        process = Process(kind, self._number, options, pid, log, time.monotonic(), fd)
        asyncio.get_running_loop().add_reader(fd, self._gone, process)
        self.living.append(process)
        self.all.append(process)
        return process

    async def ready(self, process: Process) -> None:
        """Return when it works, or has ended."""
        end = time.monotonic() + START_SECONDS
        while not process.works:
            if process.ended.is_set():
                return
            if time.monotonic() > end:
                raise AssertionError(f"{process.log} does not say {READY[process.kind]!r}")
            await asyncio.sleep(LOOK_SECONDS)

    async def some_ready(self, kind: Kind) -> None:
        """Return when one of a kind works."""
        while not any(p.works for p in self.of(kind)):
            await asyncio.sleep(LOOK_SECONDS)

    async def kill(self, process: Process, *, again: bool = True) -> None:
        """Kill it without notice, and start another of its kind."""
        process.invited = True
        process.send(signal.SIGKILL)
        await process.ended.wait()
        if again:
            await self.start(process.kind, *process.options)

    async def stop(self) -> None:
        """Ask all to stop as an operator would, and wait for it."""
        self.closing = True
        for process in self.living:
            process.invited = True
            process.send(signal.SIGTERM)
        async with asyncio.timeout(START_SECONDS):
            await asyncio.gather(*(p.ended.wait() for p in list(self.living)))

    def _gone(self, process: Process) -> None:
        asyncio.get_running_loop().remove_reader(process.fd)
        os.close(process.fd)
        self.living.remove(process)
        process.ended.set()
        if not process.invited and not self.closing:
            self.crashed.append(process)
            task = asyncio.create_task(self._restart(process))
            self._again.add(task)
            task.add_done_callback(self._again.discard)

    async def _restart(self, process: Process) -> None:
        await asyncio.sleep(1)
        if not self.closing:
            await self.start(process.kind, *process.options)

    async def __aenter__(self) -> Self:
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.zygote",
            str(os.getpid()),
            cwd=ROOT,
            env=os.environ | self._zygote_environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing = True
        for task in self._again:
            task.cancel()
        for process in self.living:
            process.send(signal.SIGKILL)
        await asyncio.gather(*(p.ended.wait() for p in list(self.living)))
        assert self._zygote
        assert self._zygote.stdin
        self._zygote.stdin.close()
        await self._zygote.wait()
        forget_faketime(self._zygote.pid)
