"""Work in the background: tasks on their way, which a worker that stops waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """Coroutines that run beside each other; a failure is logged, and its tasks' leases end."""

    def __init__(self, name: str, what: str) -> None:
        """``what`` failed, as the log says of one that did: "a batch of workflow tasks"."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self._name = name
        self._what = what

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine."""
        task = asyncio.create_task(work, name=self._name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

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

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s failed: %s", self._what, error, exc_info=error)
