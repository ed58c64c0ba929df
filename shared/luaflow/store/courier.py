"""The courier: one process's way to carry messages at once, each outbox by one task at a time.

Whoever commits tells it which outboxes hold fresh messages; what it cannot deliver is left to the
schedulers, who look after an outbox a second after a message was put there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from luaflow.errors import LuaflowError
from luaflow.store.relay import Drained, drain_outbox
from luaflow.store.store import Store

log = logging.getLogger(__name__)

LOOK_EVERYWHERE = 64
"""Partitions up to which an unnamed outbox is searched for; beyond it the schedulers find it."""


class Courier:
    """Drains outboxes in the background; ``drained`` is told what each drain did."""

    def __init__(self, store: Store, drained: Callable[[Drained], None] = lambda _: None) -> None:
        """Take the store; no task runs before there is something to carry."""
        self._store = store
        self._drained = drained
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._again: set[tuple[int, int]] = set()
        self._searches: set[asyncio.Task[None]] = set()

    def tell(self, sender: int, receivers: Iterable[int] | None = None) -> None:
        """Carry what lies in the outboxes of ``sender`` to ``receivers`` (None: find out which).

        Call it after the write that put the messages there was confirmed.
        """
        if receivers is not None:
            for receiver in receivers:
                self._start(sender, receiver)
        elif len(self._store.partitions) <= LOOK_EVERYWHERE:
            task = asyncio.create_task(self._search(sender), name=f"luaflow-courier-{sender}")
            self._searches.add(task)
            task.add_done_callback(self._searches.discard)

    async def settle(self) -> None:
        """Wait until nothing is being carried."""
        while tasks := [*self._running.values(), *self._searches]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop; what is not delivered stays in its outbox."""
        tasks = [*self._running.values(), *self._searches]
        self._again.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, sender: int, receiver: int) -> None:
        pair = (sender, receiver)
        if pair in self._running:
            self._again.add(pair)  # its drain may have read the outbox already
            return
        task = asyncio.create_task(self._drain(pair), name=f"luaflow-courier-{sender}-{receiver}")
        self._running[pair] = task

    async def _drain(self, pair: tuple[int, int]) -> None:
        sender, receiver = pair
        try:
            while True:
                self._again.discard(pair)
                done = await drain_outbox(self._store, sender, receiver)
                self._drained(done)
                self.tell(receiver, done.replies)
                if pair not in self._again and not (done.settled and done.left):
                    break
        except LuaflowError as error:
            log.warning("messages of partition %d to %d wait: %s", sender, receiver, error)
        except Exception:
            log.exception("messages of partition %d to %d wait", sender, receiver)
        finally:
            del self._running[pair]

    async def _search(self, sender: int) -> None:
        outbox = self._store.partitions[sender].outbox
        numbers = range(len(self._store.partitions))
        try:
            lengths = await self._store.read(*(("XLEN", outbox(n)) for n in numbers))
        except LuaflowError as error:
            log.warning("messages of partition %d wait: %s", sender, error)
            return
        self.tell(sender, [n for n, length in zip(numbers, lengths, strict=True) if length])
