"""Service: how everything that runs in the background starts, works and stops.

The contract, the same for every service:

- ``start()`` returns when the service works; a second call does nothing. What ``open()`` raises,
  ``start()`` raises, and then nothing runs.
- ``stop()`` returns when nothing of the service runs any more. It may be called twice, before
  ``start()`` and while ``start()`` waits. A stopped service may be started again.
- The work is ``round()``, called again and again. A round that raises is logged, makes the
  service unhealthy and is tried again after a pause that grows; one good round heals it.
- A stop ends every wait in ``idle()`` and ``unless_stopped()`` at once; a round that is busy gets
  ``grace`` seconds to end by itself and is then cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Service(ABC):
    """One loop in the background, named ``luaflow-<name>`` among the asyncio tasks."""

    grace: ClassVar[float] = 5.0
    """Seconds a busy round may take after stop() before it is cancelled."""
    first_pause: ClassVar[float] = 0.1
    """Seconds until a crashed round is tried again; doubled at each crash in a row, with jitter."""
    longest_pause: ClassVar[float] = 10.0
    """Seconds at most between two tries."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.crashes = 0
        self.last_error: BaseException | None = None
        self._gate = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def round(self) -> None:
        """Do one round of the work; wait with idle() or unless_stopped()."""

    async def open(self) -> None:
        """Get what the rounds need. Called by start()."""

    async def close(self) -> None:
        """Give it back. Called by stop() when no round runs any more."""

    @property
    def healthy(self) -> bool:
        """Whether the loop runs and its last round did not crash."""
        return self._task is not None and not self._task.done() and self.crashes == 0

    @property
    def stopping(self) -> bool:
        """Whether stop() was called: a long round looks here between two steps."""
        return self._stopping.is_set()

    async def start(self) -> None:
        """Start the loop; see the contract above."""
        async with self._gate:
            if self._task is not None:
                return
            self._stopping.clear()
            self._woken.clear()
            self.crashes, self.last_error = 0, None
            await self.open()
            self._task = asyncio.create_task(self._loop(), name=f"luaflow-{self.name}")

    async def stop(self) -> None:
        """Stop the loop and wait for its end; see the contract above."""
        if self._task is not None and self._task is asyncio.current_task():
            raise RuntimeError(f"the service {self.name} cannot wait for its own end: return")
        async with self._gate:
            if self._task is None:
                return
            self._stopping.set()
            self._woken.set()
            try:
                await asyncio.wait({self._task}, timeout=self.grace)
            finally:
                self._task.cancel()
                await asyncio.wait({self._task})
                self._task = None
                await self.close()

    def wake(self) -> None:
        """End the idle() that runs now, or the next one if none runs."""
        self._woken.set()

    async def idle(self, seconds: float | None = None) -> None:
        """Wait for wake() or stop(), ``seconds`` at most (None: as long as it takes)."""
        if not self.stopping:
            try:
                await asyncio.wait_for(self._woken.wait(), seconds)
            except TimeoutError:
                return
        self._woken.clear()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of ``work``, such as a blocking read; None when a stop cut it short."""
        task = asyncio.create_task(work, name=f"luaflow-{self.name}-wait")
        stop = asyncio.create_task(self._stopping.wait(), name=f"luaflow-{self.name}-stop")
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _loop(self) -> None:
        while not self.stopping:
            try:
                await self.round()
                self.crashes, self.last_error = 0, None
            except Exception as error:  # a service outlives whatever its rounds meet
                self.crashes += 1
                self.last_error = error
                pause = min(self.first_pause * 2 ** min(self.crashes - 1, 30), self.longest_pause)
                pause *= random.uniform(0.5, 1)
                log.exception("%s crashed (%d in a row)", self.name, self.crashes)
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
