"""The guard: is the server still fit? It, and its settings, can change while we run."""

from __future__ import annotations

import logging

from luaflow.service import Service
from luaflow.store import upkeep
from luaflow.store.checks import check_server, memory_percent
from luaflow.store.store import Store

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks."""


class Guard(Service):
    """Looks at the server once a minute; ``refusal`` says why no work should be sent here."""

    def __init__(self, store: Store) -> None:
        super().__init__("guard")
        self._store = store
        self._told = set(store.findings or ())
        self._full = False
        self.refusal = ""

    async def round(self) -> None:
        """Look, tell what is new, wait."""
        await self.look()
        await self.idle(EVERY)

    async def look(self) -> None:
        """Look at the server once, and tell what is new."""
        findings = await check_server(self._store, self._store.settings)
        self.refusal = "; ".join(f.text for f in findings if f.level == "refuse")
        for finding in findings:
            if finding.text not in self._told:
                level = logging.ERROR if finding.level == "refuse" else logging.WARNING
                log.log(level, "%s", finding.text)
        self._told = {finding.text for finding in findings}
        await self.keep_head_room()

    async def keep_head_room(self) -> None:
        """Tell the partitions how full the server is: they refuse new starts in time."""
        percent = await memory_percent(self._store)
        if percent is None:
            return
        calls = (upkeep.head_room(partition=p, percent=percent) for p in self._store.partitions)
        # a partition that is broken must not keep the others from knowing
        answers = await self._store.apart(*calls)
        full = any(isinstance(answer, list) and answer[1] for answer in answers)
        if full and not self._full:
            log.warning("Redis uses %d%% of its memory: new starts are refused", percent)
        elif self._full and not full:
            log.info("Redis uses %d%% of its memory: new starts are accepted again", percent)
        self._full = full
