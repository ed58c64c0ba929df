"""An event loop whose time is virtual, and actors that can be killed or frozen in it.

Nothing here waits: when no callback is ready, time jumps to the next timer. Every callback belongs
to an actor (one OS process of the real world) by its context; those of a dead actor are dropped,
those of a frozen one are put aside until it goes on.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any


class Stuck(AssertionError):
    """Nothing will ever happen again, or too much happens without an end."""


class Actor:
    """A process of the simulated world: a worker, a scheduler, a client."""

    def __init__(self, name: str, traces: list[Any] | None = None) -> None:
        """``traces`` is what its activities leave behind, outside of the server."""
        self.name = name
        self.traces: list[Any] = [] if traces is None else traces
        self.dead = False
        self.frozen = False
        self.again: Callable[[], None] = lambda: None
        self.held: list[asyncio.Handle] = []
        self.context = Context()
        self.context.run(ACTOR.set, self)


ACTOR: ContextVar[Actor | None] = ContextVar("simulated_actor", default=None)


class SimTask(asyncio.Task[Any]):
    """A task with a number for its hash: sets of tasks have the same order in every process."""

    _numbers = itertools.count()

    def __init__(self, *args: Any, **how: Any) -> None:
        self._number = next(SimTask._numbers)
        super().__init__(*args, **how)

    def __hash__(self) -> int:
        return self._number

    __eq__ = object.__eq__


class SimLoop(asyncio.BaseEventLoop):
    """The loop; ``time()`` is virtual seconds since the beginning."""

    def __init__(self, most_steps: int) -> None:
        super().__init__()
        self._now = 0.0
        self._steps = 0
        self._most_steps = most_steps
        self._ready: Any
        self._scheduled: Any
        self.every_task: list[asyncio.Task[Any]] = []
        SimTask._numbers = itertools.count()
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task = SimTask(work, loop=loop, context=context)
        # a dead actor's tasks must not be swept away in the middle: their ends would run
        self.every_task.append(task)
        return task

    def _write_to_self(self) -> None:
        """Wake nobody: there is one thread."""

    def _process_events(self, event_list: object) -> None:
        """Do nothing: there are no sockets."""

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run it here and now: threads would bring an order of their own."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits it
            future.set_exception(error)
        return future

    def thaw(self, actor: Actor) -> None:
        """Let a frozen actor go on with all that was put aside for it."""
        actor.frozen = False
        self._ready.extend(actor.held)
        actor.held = []

    def _run_once(self) -> None:
        if not self._ready:
            self._jump()
        self._steps += len(self._ready)
        if self._steps > self._most_steps:
            raise Stuck(f"more than {self._most_steps} callbacks: something goes round in circles")
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            actor = handle._context.get(ACTOR)
            if actor is not None and actor.dead:
                continue
            if actor is not None and actor.frozen:
                actor.held.append(handle)
                continue
            handle._run()

    def _jump(self) -> None:
        """Go to the time of the next timer."""
        while self._scheduled and not self._ready:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            if handle._cancelled:
                continue
            self._now = max(self._now, handle._when)
            self._ready.append(handle)
            while self._scheduled and self._scheduled[0]._when <= self._now:
                other = heapq.heappop(self._scheduled)
                other._scheduled = False
                if not other._cancelled:
                    self._ready.append(other)
        if not self._ready:
            raise Stuck("nothing is ready, and nothing will ever be")
