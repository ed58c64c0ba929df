"""Orphans: objects of payloads whose run, workflow id or job is gone, or never came to be."""

from __future__ import annotations

import logging

from luaflow.archive import Archive, open_archive
from luaflow.errors import LuaflowError
from luaflow.service import Service
from luaflow.store.orphans import GRACE_SECONDS, Orphans
from luaflow.store.store import Store

log = logging.getLogger(__name__)


class OrphanSweep(Service):
    """Looks through the object store of the namespace, where it has one, every ten minutes."""

    def __init__(
        self, store: Store, period: float = GRACE_SECONDS, grace: float = GRACE_SECONDS
    ) -> None:
        super().__init__("orphans")
        self._store = store
        self._orphans = Orphans(store, self._is_archived, grace)
        self._period = period
        self._archive: Archive | None = None
        self._archived: set[str] | None = None

    async def round(self) -> None:
        """Wait, then look once."""
        await self.idle(self._period)
        if self.stopping:
            return
        try:
            deleted = await self.sweep()
        except LuaflowError as error:
            log.warning("objects without an owner stay for now: %s", error)
            return
        if deleted:
            log.info("%d objects without an owner were deleted", deleted)

    async def sweep(self) -> int:
        """Look once; how many objects were deleted. Those of archived runs stay with them."""
        self._archive, self._archived = await open_archive(self._store), None
        try:
            return await self._orphans.sweep()
        finally:
            if self._archive:
                await self._archive.close()

    async def _is_archived(self, kind: str, name: str) -> bool:
        if self._archive is None or kind == "j":
            return False
        if self._archived is None:
            self._archived = await self._archive.run_ids()
        if not self._archived:
            return True  # a disk that is not mounted has no runs either: nothing is deleted then
        return await self._archive.has(name) if kind == "w" else name in self._archived
