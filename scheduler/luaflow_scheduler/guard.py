"""The guard: is the server still fit? It, and its settings, can change while we run."""

from __future__ import annotations

import logging

from luaflow.service import Service
from luaflow.store.checks import check_server
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
        self.refusal = ""

    async def round(self) -> None:
        """Look, tell what is new, wait."""
        findings = await check_server(self._store, self._store.settings)
        self.refusal = "; ".join(f.text for f in findings if f.level == "refuse")
        for finding in findings:
            if finding.text not in self._told:
                level = logging.ERROR if finding.level == "refuse" else logging.WARNING
                log.log(level, "%s", finding.text)
        self._told = {finding.text for finding in findings}
        await self.idle(EVERY)
