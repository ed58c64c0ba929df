"""A client's journeys while servers fail over: what it was told, and what is left of it after.

Under a level that promises it, everything the client was told must be there. Under ``fast`` what is
missing is counted, and all that is left must be whole and must end.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tests.support.effects import Effect
from tests.support.histories import History, effect_problems, problems_of, signal_problems

from luaflow import Client
from luaflow.client.handle import Handle
from luaflow.domain.events import CLOSING
from luaflow.errors import LuaflowError, NotFound, Unavailable, Unknown, WorkflowFailed

T = TypeVar("T")
ITEMS = 4
"""Signals a journey is sent while servers come and go."""
PATIENCE = 90.0
"""Seconds a journey may take to its end after the servers are back."""


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again what may be asked twice, for as long as the servers are away."""
    while True:
        try:
            return await ask()
        except (Unknown, Unavailable):
            continue


class Journeys:
    """Starts journeys in some lanes, one after the other in each, until it is told to stop."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self.prefix = prefix
        """What the ids of its runs have in common."""
        self._stopping = asyncio.Event()
        self.started: list[str] = []
        """Whose start was acknowledged."""
        self.acknowledged: defaultdict[str, list[int]] = defaultdict(list)
        self.unknown: defaultdict[str, list[int]] = defaultdict(list)
        self.results: dict[str, Any] = {}
        self.done: Counter[str] = Counter()

    async def flow(self, lanes: int) -> None:
        """Return when ``stop`` was called and each lane has sent what it had begun to send."""
        self._stopping.clear()
        async with asyncio.TaskGroup() as group:
            for lane in range(lanes):
                group.create_task(self._lane(f"{self.prefix}-{lane}"))

    def stop(self) -> None:
        """Let nothing begin any more."""
        self._stopping.set()

    async def _lane(self, name: str) -> None:
        number = 0
        while not self._stopping.is_set():
            await self._send(f"journey-{name}-{number}")
            number += 1

    async def _send(self, id_: str) -> None:
        """Start a journey and send it its items; what becomes of it is looked at later."""
        child = {"child": f"parcel-{id_}"}
        start = self._client.start
        handle = await insist(lambda: start("app:journey", child, id=id_, request_id=id_))
        self.started.append(id_)
        for number in range(ITEMS):
            try:
                await handle.signal("item", number, request_id=f"{id_}-{number}")
                self.acknowledged[id_].append(number)
            except (Unknown, Unavailable):
                self.unknown[id_].append(number)
            except NotFound:  # an acknowledged start that is gone: counted at the end
                return

    async def arrive(self) -> None:
        """Tell all to come to their end, and wait for each; those that are gone are noted."""
        async with asyncio.TaskGroup() as group:
            for id_ in self.started:
                if id_ not in self.results:
                    group.create_task(self._arrive(id_))

    async def _arrive(self, id_: str) -> None:
        handle = self._client.get_handle(id_)
        try:
            async with asyncio.timeout(PATIENCE):
                await insist(lambda: handle.signal("stop", request_id=f"{id_}-stop"))
                self.results[id_] = await insist(handle.result)
        except NotFound:
            self.results[id_] = None
        except WorkflowFailed as error:
            self.results[id_] = error
        except TimeoutError:
            raise AssertionError(f"{id_} hangs: {await _described(handle)}") from None

    def verdict(
        self, histories: Sequence[History], effects: Sequence[Effect], *, promised: bool
    ) -> list[str]:
        """What is wrong; with ``promised`` also what is missing, which is counted in ``done``."""
        found: list[str] = []
        by_id = {history.workflow_id: history for history in histories}
        for history in histories:
            found += problems_of(history)
        missing = self._missing(by_id)
        effect = list(effect_problems(histories, effects))
        self.done["lost_effects_of_record"] += len(effect)
        if promised:
            found += [*missing, *effect]
            for id_ in self.started:
                if id_ in by_id:
                    result = self.results[id_]
                    taken = result["numbers"] if isinstance(result, dict) else ()
                    history = _items(by_id[id_])
                    known = self.acknowledged[id_], self.unknown[id_]
                    found += signal_problems(history, *known, taken)
        return found

    def _missing(self, by_id: dict[str, History]) -> list[str]:
        """What the client was told and what is not there."""
        found = []
        for id_ in self.started:
            self.done["starts"] += 1
            self.done["signals"] += len(self.acknowledged[id_])
            if id_ not in by_id:
                self.done["lost_starts"] += 1
                self.done["lost_signals"] += len(self.acknowledged[id_])
                found.append(f"{id_}: its acknowledged start is lost")
                continue
            came = {e.body["input"][0] for e in _items(by_id[id_]).of("WorkflowExecutionSignaled")}
            lost = [n for n in self.acknowledged[id_] if n not in came]
            self.done["lost_signals"] += len(lost)
            found += [f"{id_}: its acknowledged signal {n} is lost" for n in lost]
            if isinstance(self.results.get(id_), LuaflowError):
                found.append(f"{id_}: {self.results[id_]}")
        return found


async def _described(handle: Handle) -> object:
    try:
        return await handle.describe()
    except LuaflowError as error:
        return error


def _items(history: History) -> History:
    """The history without the signal that ends it."""
    kept = [e for e in history.events if e.body.get("name") != "stop"]
    return history._replace(events=kept)


def late_timers(histories: Sequence[History]) -> list[int]:
    """How many ms after its time each timer fired, by the server's clock."""
    late = []
    for history in histories:
        due = {e.body["seq"]: e.ts + e.body["ms"] for e in history.of("TimerStarted")}
        late += [e.ts - due[e.body["seq"]] for e in history.of("TimerFired")]
    return late


LATE_MS = 1000
"""How late a timer may fire, once the servers are back."""


def early_or_late(histories: Sequence[History], faults: Sequence[tuple[int, int]]) -> list[str]:
    """Timers that fired before their time, or long after it and after the fault that met them.

    ``faults`` are when each began and was over, by the server's clock.
    """
    found = []
    for history in histories:
        due = {e.body["seq"]: e.ts + e.body["ms"] for e in history.of("TimerStarted")}
        for event in history.of("TimerFired"):
            at = due[event.body["seq"]]
            # one that was due while servers were away is due when they are back
            since = max([at, *(over for begin, over in faults if begin - LATE_MS <= at <= over)])
            if event.ts < at:
                found.append(f"{history.workflow_id}: a timer fired {at - event.ts} ms early")
            elif event.ts > since + LATE_MS:
                found.append(f"{history.workflow_id}: a timer fired {event.ts - since} ms late")
    return found


def all_closed(histories: Sequence[History]) -> list[str]:
    """Runs that have not ended."""
    return [h.workflow_id for h in histories if h.events[-1].type not in CLOSING]
