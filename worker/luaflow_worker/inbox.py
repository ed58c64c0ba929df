"""The inbox of a node: letters of workflows and of other nodes to the processes in this one.

Made when a PID of this node first leaves it, and kept by a heartbeat; a node that dies leaves an
inbox that expires. Delivery is at most once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from luaflow.domain.sealed import SealedPayload, check_open
from luaflow.errors import Unavailable, Unknown
from luaflow.service import Service
from luaflow.store import inboxes
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow.store.waiting import BLOCK_MS
from luaflow_worker.world import World

log = logging.getLogger(__name__)

PAGE = 200
REMEMBERED = 1000
"""Letters that are known again, should a fail-over lose that they were removed."""
BEAT_SECONDS = inboxes.TTL_MS / 4000
"""How often the node says that it is there."""


class Heartbeat(Service):
    """Says that the node is there, and does what else its heartbeat carries."""

    def __init__(self, store: Store, node: str, beat: Callable[[], Awaitable[None]]) -> None:
        super().__init__("node-heartbeat")
        self._store = store
        self._node = node
        self._beat = beat

    async def round(self) -> None:
        """Wait, then say it again."""
        await self.idle(BEAT_SECONDS)
        if self.stopping:
            return
        p = inboxes.home(self._store, self._node)
        (word, *_) = await self._store.one(inboxes.keep_inbox(partition=p, node=self._node))
        if word == b"made":
            log.warning("the inbox of this node had expired: what was sent meanwhile is lost")
        await self._beat()


class Inbox(Service):
    """Reads the letters to this node; ``start`` may be called before every use."""

    def __init__(
        self,
        world: World,
        node: str,
        receive: Callable[[dict[str, Any]], object],
        beat: Callable[[], Awaitable[None]],
    ) -> None:
        """``receive`` takes a letter; ``beat`` is called with each heartbeat."""
        super().__init__("node-inbox")
        self._world = world
        self._node = node
        self._receive = receive
        self._beat = beat
        self.open_ = False

    async def open(self) -> None:
        """Make the inbox: from now on letters come in."""
        self._store = store = await self._world.store()
        self._key = inboxes.home(store, self._node).inbox(self._node)
        self._last = "0-0"
        self._taken: dict[tuple[str, int], None] = {}
        self._reader = Reader(store.url, "luaflow-inbox")
        p = inboxes.home(store, self._node)
        await store.one(inboxes.keep_inbox(partition=p, node=self._node))
        self._heartbeat = Heartbeat(store, self._node, self._beat)
        await self._heartbeat.start()
        self.open_ = True

    async def close(self) -> None:
        """Take the inbox away: whoever writes to it is told that the node is gone."""
        self.open_ = False
        await self._heartbeat.stop()
        await self._reader.close()
        await self.say_goodbye()

    async def say_goodbye(self) -> None:
        """Remove the inbox; one that could not be removed expires."""
        with contextlib.suppress(Unavailable, Unknown):
            await self._store.read(("DEL", self._key))

    async def round(self) -> None:
        """Hand over what came, and remove it."""
        found = await self.unless_stopped(
            self._reader.read(
                "XREAD", "COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS", self._key, self._last
            )
        )
        if not found:
            # the connection broke, or nothing came for a while: a server that took over may number
            # from an older clock, below what was read here, and that would never be seen
            self._last = "0-0"
        for entry, fields in found[0][1] if found else ():
            self._last = bytes(entry).decode()
            if self._is_new(self._last, bytes(fields[1])):
                self._take(await self._store.opened(bytes(fields[1]), f"n:{self._node}"))
        if found and not self.stopping:
            await self._store.read(("XTRIM", self._key, "MINID", _behind(self._last)))

    def _is_new(self, entry: str, text: bytes) -> bool:
        """Whether a letter was not handed over before its removal was lost."""
        mark = (entry, hash(text))
        new = mark not in self._taken
        self._taken[mark] = None
        while len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]
        return new

    def _take(self, text: bytes) -> None:
        try:
            check_open(text)
            self._receive(orjson.loads(text))
        except SealedPayload as error:
            log.error("a letter to this node is lost: %s", error)  # noqa: TRY400 - no bug of ours
        except (AttributeError, LookupError, TypeError, ValueError):
            log.exception("a letter to this node cannot be read: %r", text[:200])


def _behind(entry: str) -> str:
    ms, _, number = entry.partition("-")
    return f"{ms}-{int(number) + 1}"
