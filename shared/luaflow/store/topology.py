"""Several servers: which of them have the data now, and who has to know when that changes.

A ``Topology`` is shared by all connections of an event loop to an address. While there are any, it
asks again and again, so that nobody stays with a server that the others have given up: one that was
cut off with it would never hear of a fail-over.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from luaflow.errors import LuaflowError, Unavailable
from luaflow.store.address import Address, Place
from luaflow.store.connect import ONE_OF_MANY_SECONDS, ask_at_once, connect_to

log = logging.getLogger(__name__)

Told = Callable[[], Awaitable[None]]
LATE_SECONDS = 0.3
"""How much later than the first answer another one may come and count."""


class NobodyThere(Unavailable):
    """None of the servers of an address answers, or none knows where the data is."""


class Asker:
    """Asks the same of several servers at once, and keeps the connections for the next time."""

    def __init__(self, url_of: Callable[[Place], str]) -> None:
        self._url_of = url_of
        self._connections: dict[Place, Connection] = {}

    async def ask(
        self, places: Iterable[Place], *commands: Sequence[str]
    ) -> dict[Place, list[Any] | Exception]:
        """What each server answers, or why it does not; the slow ones are not waited for."""
        tasks = {
            asyncio.create_task(self._ask(place, commands), name=f"luaflow-look-{place}"): place
            for place in places
        }
        found: dict[Place, list[Any] | Exception] = {
            place: TimeoutError("it does not answer") for place in tasks.values()
        }
        waiting, seconds = set(tasks), ONE_OF_MANY_SECONDS
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    found[tasks[task]] = answer = task.result()
                    if not isinstance(answer, Exception):
                        seconds = LATE_SECONDS
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return found

    async def _ask(self, place: Place, commands: Sequence[Sequence[str]]) -> list[Any] | Exception:
        try:
            connection = self._connections.get(place)
            if connection is None or not connection.is_connected:
                url, name = self._url_of(place), "luaflow-look"
                connection = await connect_to(url, within=ONE_OF_MANY_SECONDS, client_name=name)
                self._connections[place] = connection
            return await ask_at_once(connection, *commands, within=ONE_OF_MANY_SECONDS)
        except asyncio.CancelledError:
            # an answer on its way must not be taken for the next one's
            await self._forget(place)
            raise
        except (RedisError, OSError, Unavailable) as error:
            await self._forget(place)
            return error

    async def _forget(self, place: Place) -> None:
        if connection := self._connections.pop(place, None):
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connections."""
        for place in list(self._connections):
            await self._forget(place)


class Topology(ABC):
    """Which servers of an address have the data now."""

    every: ClassVar[float]
    """Seconds between two looks."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._users: dict[object, Told] = {}
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looks = 0

    @property
    @abstractmethod
    def places(self) -> set[Place]:
        """The servers that have the data, as far as is known."""

    @abstractmethod
    async def _look(self, asker: Asker, *, newer: bool) -> None:
        """Ask, and note what is found; with ``newer`` only what is no step back.

        Raises Unavailable when nobody answers, InvalidArgument when they are of another kind.
        """

    @abstractmethod
    def _asker(self) -> Asker:
        """Who asks the servers that know."""

    @abstractmethod
    async def check(self, connection: Connection, place: Place) -> None:
        """Raise Unavailable when a server just reached is not what it was taken for."""

    async def look(self) -> None:
        """Look now; several who want to look at the same time look once."""
        before = self._looks
        async with self._looking:
            if self._looks > before:
                return  # somebody began after us
            asker = self._asker()
            try:
                self._looks += 1
                await self._look(asker, newer=False)
            finally:
                await asker.close()

    def join(self, user: object, told: Told) -> None:
        """From now on ``told()`` is called when the servers have changed."""
        self._users[user] = told
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="luaflow-topology")

    async def leave(self, user: object) -> None:
        """Be told nothing any more; the last one ends the looking."""
        self._users.pop(user, None)
        if not self._users and self._task:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        asker = self._asker()
        try:
            while True:
                await asyncio.sleep(self.every)
                before = self.places
                try:
                    await self._look(asker, newer=True)
                except LuaflowError as error:
                    log.debug("%s", error)
                    continue
                if self.places != before:
                    log.info("Redis has moved: it is at %s now", _shown(self.places))
                for told in list(self._users.values()):
                    await told()
        finally:
            await asker.close()


def _shown(places: Iterable[Place]) -> str:
    return ", ".join(map(str, sorted(places)))
