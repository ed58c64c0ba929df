"""Work in the background: batches on their way, which a worker that stops waits for."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """Coroutines that run beside each other; a failure is logged, and its tasks' leases end."""

    def __init__(self, name: str) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._name = name

    def spawn(self, work: Any) -> None:
        """Run a coroutine."""
        task = asyncio.create_task(work, name=self._name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    async def wait(self, seconds: float) -> None:
        """Wait until nothing runs, and no longer than that; what was spawned last has begun."""
        end = asyncio.get_running_loop().time() + seconds
        while self.tasks and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self.tasks, timeout=left)
        await asyncio.sleep(0)

    async def cancel(self) -> None:
        """End what still runs."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a batch of workflow tasks failed: %s", error, exc_info=error)
