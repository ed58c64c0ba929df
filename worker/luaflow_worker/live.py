"""The runs this worker has in memory: coroutine, position in the history, place in the world."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from luaflow.domain.events import Event
from luaflow.lua.vm import Engine
from luaflow.observe import tracing
from luaflow.replay.decider import Execution
from luaflow_worker.lengths import LONG
from luaflow_worker.place import Place
from luaflow_worker.spans import Anchor, anchor_in

MOST_CHANCES = 10
Result = tuple[int, str, str, bytes]
"""The result of an eager activity: command number, token, event type, event body."""

MOST_ROUNDS = 32
"""Decisions of a run right behind one another, before those that wait for a slot come first."""


class Clock(NamedTuple):
    """Namespace time as a reply named it, and this machine's monotonic time when it arrived."""

    now: int
    at: float

    def estimate(self) -> int:
        """Return the namespace time it must be by now, in ms: never above the server's."""
        return self.now + int((time.monotonic() - self.at) * 1000)


@dataclass(slots=True, eq=False)
class Live:
    """A run in memory. ``cid`` is its last decision made here: what makes the coroutine valid.

    ``chances``: how often the cache passes it over before it has to leave. ``apart``: its engine is
    one for suspects (``quarantine``), so it is not kept. ``rest``: a task of the run waits until
    the step under way has ended. ``rounds``: how many decisions it has had in a row. ``anchor`` is
    what the spans of its decisions are under.
    """

    place: Place
    engine: Engine
    execution: Execution
    cid: str = ""
    turn: int = 0
    clock: Clock = field(default_factory=lambda: Clock(0, 0.0))
    length: int = 0
    busy: bool = False
    dropped: bool = False
    results: list[Result] = field(default_factory=list)
    chances: int = 0
    apart: bool = False
    rest: asyncio.Event | None = None
    rounds: int = 0
    anchor: Anchor | None = None

    @property
    def run_id(self) -> str:
        """Return the id of the run."""
        return self.place.route.run_id

    @property
    def plain(self) -> bool:
        """Whether no fused step is tried: it is not kept, or a refusal would cost a long replay."""
        return self.apart or self.lasts or self.place.upgrades or self.length > LONG

    @property
    def lasts(self) -> bool:
        """Whether it went on for so long that others come first: it queues for its next decision.

        A loop of activities that end at once, or a run that writes to itself, may never end.
        """
        return self.rounds > MOST_ROUNDS

    def drop(self) -> None:
        """Forget the coroutine; the next decision rebuilds it by replay."""
        if not self.dropped:
            self.dropped = True
            self.execution.run.close()
            self._wake()

    def release(self) -> None:
        """No step of the run is under way any more."""
        self.busy = False
        self._wake()

    def _wake(self) -> None:
        if self.rest is not None:
            self.rest.set()
            self.rest = None

    async def rested(self, seconds: float) -> bool:
        """Wait until no step of the run is under way; False when that takes longer."""
        if not self.busy or self.dropped:
            return True
        self.rest = self.rest or asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self.rest.wait()
        except TimeoutError:
            return False
        return True

    def follow(self, events: Sequence[Event]) -> None:
        """Take notice of what past decisions set: attributes, memo, the ids of children."""
        traced = tracing.active()
        for event in events:
            if (traced or event.id == 1) and (anchor := anchor_in(event)):
                self.anchor = anchor
            if event.type == "StartChildWorkflowExecutionInitiated" and "workflow_id" in event.body:
                self.place.children[event.body["seq"]] = event.body["workflow_id"]
            if event.type == "UpsertWorkflowSearchAttributes":
                self.place.search.update(event.body.get("search") or {})
                self.place.memo.update(event.body.get("memo") or {})


class Cache:
    """The sticky cache: the most recently used runs, about ``size``; busy ones never leave.

    A run of 10,000 events is passed over once before it leaves, of 20,000 twice, at most ten times.
    """

    def __init__(self, size: int, evicted: Callable[[Live], None]) -> None:
        """``evicted`` is told of each run that leaves for want of room."""
        self._size = size
        self._evicted = evicted
        self._runs: OrderedDict[str, Live] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._runs.values()))

    def get(self, run_id: str) -> Live | None:
        """Return the run, now the most recently used."""
        live = self._runs.get(run_id)
        if live is not None:
            self._runs.move_to_end(run_id)
        return live

    def put(self, live: Live) -> None:
        """Keep the run; the one unused for longest leaves if there is no room."""
        if live.apart:
            self.drop(live)
            return
        before = self._runs.get(live.run_id)
        if before is not None and before is not live and not before.busy:
            before.drop()  # the run was taken anew while a step of this one was under way
        self._runs[live.run_id] = live
        self._runs.move_to_end(live.run_id)
        live.chances = min(live.length // LONG, MOST_CHANCES)
        if len(self._runs) > self._size:
            idle = (old for old in list(self._runs.values()) if not old.busy and not old.results)
            for old in itertools.islice(
                filter(self._may_leave, idle), len(self._runs) - self._size
            ):
                self.drop(old)
                self._evicted(old)

    def _may_leave(self, old: Live) -> bool:
        """Whether its turn has come: one that costs a long replay is passed over first."""
        if not old.chances:
            return True
        old.chances -= 1
        self._runs.move_to_end(old.run_id)
        return False

    def drop(self, live: Live) -> None:
        """Forget the run."""
        if self._runs.get(live.run_id) is live:
            del self._runs[live.run_id]
        live.drop()
