"""``--processes N``: worker processes under a parent that ends the ones that hang.

A count hook stops Lua code that loops, but not a loop inside a C function, nor Python code that
holds the interpreter. So each child touches a pipe from its event loop twice a second; a child
silent for longer than the limit is killed, its tasks' leases end, and a fresh child takes its
place.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

PULSE_ENV = "LUAFLOW_WORKER_PULSE_FD"
PULSE_SECONDS = 0.5
FIRST_PULSE_SECONDS = 60.0
RESTART_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Pauses before a child that keeps dying is started again; a minute of life clears them."""

PERMANENT = (1, 2, 3, 4, 5)
"""Exit codes of a start that failed, as the command line has them; no signal, no sudden death."""


@dataclass(slots=True)
class Child:
    """One worker process: the read end of its pulse and when it was last felt (monotonic)."""

    process: subprocess.Popen[bytes]
    pulse: int
    number: int
    started: float
    felt: float
    beating: bool = False


class Supervisor:
    """Keeps ``count`` copies of a command alive until SIGTERM or SIGINT."""

    def __init__(self, command: Sequence[str], count: int, *, hang_seconds: float = 10.0) -> None:
        """``hang_seconds``: silence after which a child that has beaten before is killed."""
        self._command = list(command)
        self._count = count
        self._hang = hang_seconds
        self._children: list[Child] = []
        self._deaths: dict[int, list[float]] = {}
        self._due: dict[int, float] = {}
        self._stopping = False
        self._served: set[int] = set()
        self._failed = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Supervise; return the exit code: 0 after a clean stop, else a child's."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        for number in range(self._count):
            self._start(number)
        code = 0
        while self._children or (self._due and not self._stopping):
            self._feel()
            for child in list(self._children):
                code = self._look(child) or code
            self._start_due()
        return self._failed or (0 if self._stopping else code)

    def _start(self, number: int) -> None:
        read, write = os.pipe()
        environment = {**os.environ, PULSE_ENV: str(write)}
        process = subprocess.Popen(
            [*self._command, "--child", str(number)], env=environment, pass_fds=(write,)
        )
        os.close(write)
        now = time.monotonic()
        child = Child(process, read, number, now, now)
        self._children.append(child)
        self._selector.register(read, selectors.EVENT_READ, child)

    def _feel(self) -> None:
        wait = min([1.0, *(due - time.monotonic() for due in self._due.values())])
        for key, _ in self._selector.select(timeout=max(0, wait)):
            child: Child = key.data
            if os.read(child.pulse, 512):
                child.felt, child.beating = time.monotonic(), True
                self._served.add(child.number)
            else:
                self._selector.unregister(child.pulse)

    def _look(self, child: Child) -> int:
        """Kill a child that hangs; replace one that ended."""
        limit = self._hang if child.beating else FIRST_PULSE_SECONDS
        if child.process.poll() is None:
            if time.monotonic() - child.felt > limit:
                log.error(
                    "worker process %d gave no sign of life for %.0f s: killing it",
                    child.process.pid,
                    limit,
                )
                child.process.kill()
            return 0
        self._children.remove(child)
        if child.pulse in self._selector.get_map():
            self._selector.unregister(child.pulse)
        os.close(child.pulse)
        if not self._stopping:
            self._replace(child)
        return child.process.returncode

    def _replace(self, child: Child) -> None:
        """Plan another one, unless none in its place has ever served: the next would fail alike.

        Once one has served, what keeps another from it (Redis is away …) passes.
        """
        code = child.process.returncode
        if code in PERMANENT and child.number not in self._served:
            log.error("worker process ended with %s before it served: giving up", code)
            self._failed = code
            self._stop()
            return
        log.warning("worker process ended with %s: starting another", code)
        self._plan(child.number)

    def _plan(self, number: int) -> None:
        """Say when another child takes this place; the others are watched until then."""
        now = time.monotonic()
        deaths = [t for t in self._deaths.get(number, []) if now - t < 60]
        self._deaths[number] = [*deaths, now]
        self._due[number] = now + RESTART_SECONDS[min(len(deaths), len(RESTART_SECONDS) - 1)]

    def _start_due(self) -> None:
        for number, due in list(self._due.items()):
            if due <= time.monotonic() and not self._stopping:
                del self._due[number]
                self._start(number)

    def _stop(self, *_: object) -> None:
        self._stopping = True
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)


def pulse_fd() -> int | None:
    """Return the descriptor on which this process, a supervised child, shows that it lives."""
    text = os.environ.pop(PULSE_ENV, "")
    return int(text) if text else None


def worker_command() -> list[str]:
    """Return the command that starts this program again."""
    return [sys.executable, "-m", "luaflow_worker.cli", *sys.argv[1:]]
