"""What faults work on: a server, a network, processes; and the record of what was done to them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from luaflow import Client
from tests.chaos.network import Network
from tests.chaos.processes import Crew, Kind, Process
from tests.chaos.server import Server


class Kill(NamedTuple):
    """Processes of one kind that were killed together, when (monotonic s), and their ids."""

    at: float
    kind: Kind
    pids: tuple[int, ...]
    names: tuple[str, ...]


class Window(NamedTuple):
    """From when to when (monotonic s) something was out of order.

    ``what``: "server", "network", "clock" or "schedulers" (none of them worked).
    """

    begin: float
    end: float
    what: str


@dataclass
class World:
    """One run's surroundings. ``clock_ms``: the server's clock is the monotonic one plus this."""

    server: Server
    network: Network | None
    crew: Crew
    client: Client
    lease: float
    crew_clock: Path
    """The file that moves the clocks of workers and schedulers."""
    counts: Counter[str] = field(default_factory=Counter)
    windows: list[Window] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    clock_ms: float = field(default_factory=lambda: (time.time() - time.monotonic()) * 1000)
    offset: float = 0.0
    """How far the server's clock is off now, in seconds."""
    notes: Counter[str] = field(default_factory=Counter)
    memory: int = 0
    """What the server used before there was any load, in bytes."""

    @staticmethod
    def set_clock(file: Path, seconds: float) -> None:
        """Set the clocks that a file moves so many seconds off the machine's."""
        draft = file.with_suffix(".new")
        draft.write_text(f"{seconds:+}\n")
        draft.replace(file)

    @contextmanager
    def window(self, what: str) -> Iterator[None]:
        """Note that something is out of order meanwhile."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.windows.append(Window(begin, time.monotonic(), what))

    async def take(self, kind: Kind, count: int, pick: float) -> list[Process]:
        """Some processes of a kind that work and that no other fault has; waits for enough.

        ``pick`` (0..1) says which. They are ``busy`` then.
        """
        while True:
            able = [p for p in self.crew.of(kind) if p.works]
            if len(able) >= count:
                first = int(pick * len(able))
                chosen = (able[first:] + able[:first])[:count]
                for process in chosen:
                    process.busy = True
                return chosen
            await asyncio.sleep(0.02)
