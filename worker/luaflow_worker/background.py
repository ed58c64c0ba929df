"""Work in the background: tasks on their way, which a worker that stops waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


CANCEL_SECONDS = 2.0
"""What a task may take to end when it is told to."""


class Background:
    """Coroutines that run beside each other; a failure is logged, and its tasks' leases end."""

    def __init__(self, name: str, what: str) -> None:
        """``what`` failed, as the log says of one that did: "a batch of workflow tasks"."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self.deaf: set[asyncio.Task[Any]] = set()
        """What was ended and goes on: it caught its cancellation."""
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
        """End what still runs; a handler that does not let itself be ended is left alone."""
        if not (tasks := set(self.tasks)):
            return
        for task in tasks:
            task.cancel()
        _, deaf = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        self.tasks -= deaf
        self.deaf |= deaf

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self.deaf.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s failed: %s", self._what, error, exc_info=error)
