"""ServerWatch: is the server still fit? It, its settings and its clock can change while we run."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from luaflow.errors import Unavailable, Unknown
from luaflow.service import Service
from luaflow.store import condition
from luaflow.store.checks import check_all
from luaflow.store.findings import Finding, refusal_of
from luaflow.store.store import Store

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks; a new connection (a restart, a fail-over) is looked at once."""
AWAY_SECONDS = 1.0
"""Pause after a look that met no server, however long it had waited for one."""


class ServerWatch(Service):
    """Looks at the server once a minute, and whenever the connection to it was lost or made.

    So a process that only waits for requests connects again, and is ready for them.

    ``findings`` are those of the last look; ``refusal`` says why no work should be sent here.
    """

    def __init__(self, store: Store, *, every: float = EVERY) -> None:
        super().__init__("server-watch")
        self._store = store
        self._every = every
        self._told = {_sort_of(text) for text in store.findings or ()}
        self._clock: tuple[str, float, float] | None = None
        self.findings: list[Finding] = []
        self.answered: Callable[[float], None] = lambda _: None
        """Told at each look how many seconds the server took to answer."""

    @property
    def refusal(self) -> str:
        """Why no work should be sent here; '' where it may. May be asked on any thread."""
        return refusal_of(self.findings)

    def ready(self) -> tuple[bool, str]:
        """The answer for /readyz: the refusal, or ``ready`` with a line for each warning."""
        if refusal := self.refusal:
            return False, refusal
        return True, "\n".join(["ready", *(f"warning: {f.text}" for f in self.findings)])

    def server_now(self) -> float | None:
        """The clock of the server in seconds, estimated since the last look; None before one."""
        if self._clock is None:
            return None
        _, there, here = self._clock
        return there + time.monotonic() - here

    async def open(self) -> None:
        """Look again when the connection changes."""
        self._store.link.on_change.append(self.wake)

    async def close(self) -> None:
        """Look no more."""
        self._store.link.on_change.remove(self.wake)

    def pause(self) -> float:
        """Seconds until the next look."""
        return self._every

    async def round(self) -> None:
        """Look, then wait."""
        try:
            await self.look()
            pause = self.pause()
        except (Unavailable, Unknown) as error:
            # whoever needs the server says so; in a process that waits for requests, none does
            log.debug("the server cannot be looked at: %s", error)
            pause = min(self.pause(), AWAY_SECONDS)
        await self.idle(pause)

    async def look(self) -> None:
        """Look at the server once, and log what is new."""
        findings = [*await check_all(self._store), *await self._jumps()]
        for finding in findings:
            if _sort_of(finding.text) not in self._told:
                level = logging.ERROR if finding.level == "refuse" else logging.WARNING
                log.log(level, "%s", finding.text)
        if self.refusal and not refusal_of(findings):
            log.info("the server is fit again")
        self._told = {_sort_of(finding.text) for finding in findings}
        self.findings = findings

    async def _jumps(self) -> list[Finding]:
        """Whether the clock of this server jumped since the last look at it."""
        started = time.monotonic()
        # (of a cluster: the server that has the first partition)
        first = ("HGET", self._store.partitions[0].meta, "last")
        _, (seconds, micros) = await self._store.read(first, ("TIME",))
        self.answered(time.monotonic() - started)
        here = (started + time.monotonic()) / 2
        server, there = self._store.link.server, int(seconds) + int(micros) / 1e6
        before, self._clock = self._clock, (server, there, here)
        if before is None or before[0] != server:
            return []
        return list(condition.of_jump(before[1:], (there, here)))


def _sort_of(text: str) -> str:
    """What is said, whatever its figures: a percentage that moves is not told each minute."""
    return re.sub(r"\d[\d.]*", "#", text)
