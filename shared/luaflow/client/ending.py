"""The end of a run, heard of from before it begins: then nothing has to be read to learn of it.

Whoever asks later subscribes, then reads, then waits: it may have ended between the first two.
"""

from __future__ import annotations

import asyncio

from luaflow.store.keys import Partition
from luaflow.store.store import Store

SOON_SECONDS = 0.02
"""What is waited for the server's word that it listens, before a run is started."""


class Ending:
    """What is told of the end of one run, as ``type newline body``; None: the past may be missed.

    ``sure``: it was listened for before the run was started.
    """

    def __init__(self, store: Store) -> None:
        """Listen to nothing yet."""
        self.told: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sure = False
        self._push = store.push
        self._channel = ""
        self._confirmed: asyncio.Future[None] | None = None

    async def listen(self, partition: Partition, run_id: str) -> None:
        """Listen, from when this returns, to the end of a run. Raises Unavailable."""
        self._channel = partition.done(run_id)
        await self._push.add(self._channel, self.told.put_nowait)

    def hear(self, partition: Partition, run_id: str) -> None:
        """Begin to listen for a run that is about to be started; see ``settle``."""
        self._channel = partition.done(run_id)
        self._confirmed = self._push.listen(self._channel, self.told.put_nowait)

    async def settle(self) -> None:
        """The start is about to be sent: whether the server listens by then decides ``sure``.

        Its word is on the way. To wait for it costs less than to read the end later.
        """
        if self._confirmed is None:
            return
        await asyncio.sleep(0)  # what came with the answer before is heard
        if not self._confirmed.done():
            await asyncio.wait({self._confirmed}, timeout=SOON_SECONDS)
        self.sure = self._confirmed.done()

    def close(self) -> None:
        """Listen no more."""
        if self._channel:
            self._push.remove(self._channel, self.told.put_nowait)
            self._channel = ""
