"""Orphans: objects of payloads whose run, workflow id or job is gone, or never came to be."""

from __future__ import annotations

import logging

from luaflow.errors import LuaflowError
from luaflow.service import Service
from luaflow.store.objects_of import GRACE_SECONDS, Orphans
from luaflow.store.store import Store

log = logging.getLogger(__name__)


class OrphanSweep(Service):
    """Looks through the object store of the namespace, where it has one, every ten minutes."""

    def __init__(self, store: Store, period: float = GRACE_SECONDS) -> None:
        super().__init__("orphans")
        self._orphans = Orphans(store)
        self._period = period

    async def round(self) -> None:
        """Wait, then look once."""
        await self.idle(self._period)
        if self.stopping:
            return
        try:
            deleted = await self._orphans.sweep()
        except LuaflowError as error:
            log.warning("objects without an owner stay for now: %s", error)
            return
        if deleted:
            log.info("%d objects without an owner were deleted", deleted)
