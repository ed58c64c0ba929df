"""The guard: is the server still fit, and has it room for more?"""

from __future__ import annotations

import logging

from luaflow.store import upkeep
from luaflow.store.checks import memory_percent
from luaflow.store.store import Store
from luaflow.store.watch import EVERY, ServerWatch

log = logging.getLogger(__name__)

WHILE_FULL = 2.0
"""Seconds between two looks while starts are refused: they are accepted again soon."""


class Guard(ServerWatch):
    """Looks at the server as every process does, and tells the partitions how full it is."""

    def __init__(self, store: Store, *, every: float = EVERY) -> None:
        super().__init__(store, every=every)
        self._full = False

    def pause(self) -> float:
        """Seconds until the next look."""
        return WHILE_FULL if self._full else super().pause()

    async def look(self) -> None:
        """Look at the server once, and tell what is new."""
        await super().look()
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
