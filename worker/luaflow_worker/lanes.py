"""Lanes: the streams of a queue's urgent and less urgent tasks, read in that order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from luaflow.domain.lanes import HIGH, LOW, suffix_of
from luaflow.service import Service
from luaflow.store import keys
from luaflow.store.lanes import lanes_of
from luaflow.store.store import Store

_ORDER = (HIGH, "", LOW)


class Lanes(Service):
    """Hears of lanes that come into use, and has them read."""

    def __init__(
        self,
        store: Store,
        queues: Sequence[str],
        known: set[str],
        serve: Callable[[set[str]], Awaitable[None]],
    ) -> None:
        """``serve(lanes)`` is called with all lanes there are when they are more than ``known``."""
        super().__init__("lanes")
        self._store = store
        self._queues = queues
        self._known = known
        self._serve = serve

    async def open(self) -> None:
        """Listen before the first look: nothing told from now on is missed."""
        await self._store.push.add(keys.lanes(self._store.namespace), self._told)

    async def close(self) -> None:
        """Listen no more."""
        self._store.push.remove(keys.lanes(self._store.namespace), self._told)

    async def round(self) -> None:
        """Look, then wait until there is another one."""
        found = await lanes_of(self._store, self._queues)
        if not found <= self._known:
            await self._serve(self._known | found)
            self._known |= found  # now they are read: what fails is tried again
        await self.idle(60)

    def _told(self, _: bytes | None) -> None:
        self.wake()


def groups(
    lanes: Iterable[str], streams: Callable[[str], Sequence[str]], own: Sequence[str] = ()
) -> list[list[str]]:
    """The streams of lanes (and queues), the most urgent first; ``own`` go with the usual ones."""
    found = {suffix: list(own if suffix == "" else ()) for suffix in _ORDER}
    for lane in sorted(lanes):
        found[suffix_of(lane)] += streams(lane)
    return [group for group in found.values() if group]
