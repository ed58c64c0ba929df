"""Bundles that nothing names any more: they go a day later (design 8).

The time to live of a bundle's key is the only record of that, so it goes by itself, and whoever
deploys it again takes that back. A look that finds a name takes it back, too: within the day a
bundle is missed by every look before it goes, and a start that was resolved just before its type
was deployed anew is a run long before.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from luaflow.errors import LuaflowError
from luaflow.service import Service
from luaflow.store import bundles
from luaflow.store.store import Store

log = logging.getLogger(__name__)

EVERY = 3 * 3600.0
"""Seconds between two looks."""
GRACE_MS = 24 * 3600 * 1000
"""How long a bundle is kept after a look found no name of it."""
PAUSE = 0.02
"""Seconds between two slices of a look."""


class BundleSweep(Service):
    """Looks for bundles without a name, in the scheduler that leads, some times a day."""

    def __init__(self, store: Store, leads: Callable[[], bool], period: float = EVERY) -> None:
        super().__init__("bundles")
        self._store = store
        self._leads = leads
        self._period = period

    async def round(self) -> None:
        """Wait, then look once where this scheduler leads."""
        await self.idle(self._period)
        if self.stopping or not self._leads():
            return
        try:
            await self.look()
        except LuaflowError as error:
            log.warning("code bundles that nothing names stay for now: %s", error)

    async def look(self) -> list[str]:
        """Look once; return the bundles that are found without a name for the first time.

        Starts under way are looked at before the runs that they become.
        """
        store = self._store
        without: set[str] = set()
        async for some in self._slowly(bundles.there_are(store)):
            without |= some
        without -= await self._kept(await bundles.named_by_tables(store))
        sources = [bundles.named_by_messages(store)]
        sources += [bundles.named_by_runs(store, p) for p in store.partitions]
        for source in sources:
            async with aclosing(self._slowly(source)) as slices:
                async for some in slices:
                    without -= await self._kept(some & without)
                    if not without:
                        return []
        if self.stopping:
            return []
        gone = await bundles.let_go(store, without, GRACE_MS)
        if gone:
            log.info("code that nothing names goes in a day: %s", ", ".join(gone))
        return gone

    async def _kept(self, named: set[str]) -> set[str]:
        await bundles.keep(self._store, named)
        return named

    async def _slowly(
        self, source: AsyncGenerator[set[str], None]
    ) -> AsyncGenerator[set[str], None]:
        async with aclosing(source) as slices:
            async for some in slices:
                yield some
                await self.idle(PAUSE)
                if self.stopping:
                    return
