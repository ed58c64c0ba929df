"""The end of a run, heard of from before it begins: then nothing has to be read to learn of it.

Whoever asks later subscribes, then reads, then waits: it may have ended between the first two.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from luaflow.domain.ids import new_run_id
from luaflow.store.keys import Partition
from luaflow.store.listen import Subscriber
from luaflow.store.store import Store

SOON_SECONDS = 0.02
"""What is waited for the server's word that it listens, before a run is started."""


class Ear(NamedTuple):
    """What listens for the end of one run; ``confirmed`` when nothing of it is missed any more."""

    run_id: str
    channel: str
    told: asyncio.Queue[bytes | None]
    confirmed: asyncio.Future[None]


class Ears:
    """Ears for runs that are to be started: one waits for the next run of each partition.

    The server's word that it listens takes a round trip. The run's id is chosen here, so that word
    has come before anybody thought of the run. No more is said to the server than without.
    """

    def __init__(self, push: Subscriber) -> None:
        """Listen through this subscriber, which has to be open."""
        self._push = push
        self._kept: dict[int, Ear] = {}

    def take(self, partition: Partition) -> Ear:
        """An ear for a run that is to be started, with the id that it gets."""
        ear = self._kept.pop(partition.number, None)
        if ear is None or not self._push.listens(ear.channel):  # (it was closed since)
            ear = self._new(partition)
        self._kept[partition.number] = self._new(partition)
        return ear

    def _new(self, partition: Partition) -> Ear:
        told: asyncio.Queue[bytes | None] = asyncio.Queue()
        run_id = new_run_id()
        channel = partition.done(run_id)
        confirmed = self._push.listen(channel, told.put_nowait)
        # a user that may not listen: whoever waits for the end hears of it
        confirmed.add_done_callback(lambda done: done.cancelled() or done.exception())
        return Ear(run_id, channel, told, confirmed)


class Ending:
    """What is told of the end of one run, as ``type newline body``; None: the past may be missed.

    ``sure``: it was listened for before the run was started.
    """

    def __init__(self, store: Store, ears: Ears | None = None) -> None:
        """Listen to nothing yet; ``ears`` are for ``hear``."""
        self.told: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sure = False
        self._push = store.push
        self._ears = ears
        self._channel = ""
        self._confirmed: asyncio.Future[None] | None = None

    async def listen(self, partition: Partition, run_id: str) -> None:
        """Listen, from when this returns, to the end of a run. Raises Unavailable."""
        self._channel = partition.done(run_id)
        await self._push.add(self._channel, self.told.put_nowait)

    def hear(self, partition: Partition) -> str:
        """Choose the id of a run that is about to be started, whose end is listened for."""
        assert self._ears
        run_id, self._channel, self.told, self._confirmed = self._ears.take(partition)
        return run_id

    async def settle(self) -> None:
        """The start is about to be sent: whether the server listens by then decides ``sure``.

        Its word is on the way. To wait for it costs less than to read the end later.
        """
        if self._confirmed is None:
            return
        if not self._confirmed.done():
            await asyncio.sleep(0)  # what came with the answer before is heard
        if not self._confirmed.done():
            await asyncio.wait({self._confirmed}, timeout=SOON_SECONDS)
        word = self._confirmed
        self.sure = word.done() and not word.cancelled() and word.exception() is None

    def close(self) -> None:
        """Listen no more."""
        if self._channel:
            self._push.remove(self._channel, self.told.put_nowait)
            self._channel = ""
