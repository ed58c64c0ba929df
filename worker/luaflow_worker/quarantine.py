"""Quarantine: decisions that may use up all their time are made one at a time, beside the others.

A decision holds the event loop until it ends; one that never waits holds it for its whole budget, a
second, each time it is tried. So a run whose last task failed, or one that is new here and of a
type that lately failed so, is decided on a thread, in engines of its own: others go on meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from luaflow.errors import LuaflowError
from luaflow_worker.engines import Engines
from luaflow_worker.faults import COSTLY, reason_of
from luaflow_worker.steps import Step
from luaflow_worker.taking import LONG_REPLAY, Taken

SUSPECT_SECONDS = 60.0
"""For how long the new runs of a type are suspects after one of them used up its budget."""
HANG_FACTOR = 3.0
"""Times its budget that a decision may take before its thread is taken to hang in C."""
MAX_TYPES = 1000


class Quarantine:
    """Who is a suspect, and where suspects are decided."""

    def __init__(self, engines: Engines, *, cpu_seconds: float) -> None:
        """``engines`` serve nothing else."""
        self._engines = engines
        self._limit = HANG_FACTOR * cpu_seconds + 1.0
        self._turn = asyncio.Lock()
        self._whose: asyncio.Task[object] | None = None
        self._types: dict[str, float] = {}
        self._thread: ThreadPoolExecutor | None = None

    def note(self, type: str, fault: LuaflowError) -> None:
        """Take notice of a task that failed."""
        if reason_of(fault) in COSTLY:
            if len(self._types) >= MAX_TYPES:
                self._types.clear()
            self._types[type] = time.monotonic() + SUSPECT_SECONDS

    def suspects(self, task: Taken) -> bool:
        """Whether a run should be decided apart. One that is in memory has done well before."""
        if task.cached is not None:
            return False
        return task.fails > 0 or self._types.get(task.type, 0.0) > time.monotonic()

    def alone(self, task: Taken) -> bool:
        """Whether the others of its batch should not wait for it: a suspect, or a long replay."""
        return self.suspects(task) or (task.cached is None and task.length > LONG_REPLAY)

    @asynccontextmanager
    async def engines_for(self, task: Taken) -> AsyncIterator[Engines | None]:
        """The engines a suspect is decided in, once it is its turn; None for any other run."""
        if not self.suspects(task):
            yield None
            return
        await self._have_turn()
        try:
            yield self._engines
        finally:
            self._leave_turn()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Others have their turn while a suspect only waits; what it is fed then is decided, too.

        Nothing for a run that is none.
        """
        mine = self._whose is asyncio.current_task()
        self._leave_turn()
        try:
            yield
        finally:
            if mine:
                await self._have_turn()

    async def _have_turn(self) -> None:
        await self._turn.acquire()
        self._whose = asyncio.current_task()

    def _leave_turn(self) -> None:
        if self._whose is asyncio.current_task():  # who is cancelled may wait for it again
            self._whose = None
            self._turn.release()

    async def decide(self, step: Step, *, standing: bool) -> None:
        """Make a suspect's decision, on the thread."""
        self._thread = self._thread or ThreadPoolExecutor(1, "luaflow-quarantine")
        work = self._thread.submit(step.decide, standing=standing)
        ended = asyncio.wrap_future(work)
        await asyncio.wait({ended}, timeout=self._limit)
        # a thread that hangs in C cannot be ended: we hang with it, and the supervisor sees that
        ended.result() if ended.done() else work.result()

    def close(self) -> None:
        """Let the thread go."""
        if self._thread:
            self._thread.shutdown()
            self._thread = None
