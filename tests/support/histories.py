"""What must hold of every history, whatever happened while it was written (design 3).

Nothing here asks the engine: a history, the effect log and the client's own log are compared.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import NamedTuple

from luaflow import Client
from luaflow.domain.events import CHILD_EVENT, CLOSING, STARTED, Event
from tests.support.effects import Effect, by_activity

PAGE = 100
"""Histories read together."""
OUTCOMES = {
    "ActivityTaskCompleted",
    "ActivityTaskFailed",
    "ActivityTaskTimedOut",
    "ActivityTaskCanceled",
}


class History(NamedTuple):
    """The whole history of a run."""

    workflow_id: str
    run_id: str
    events: list[Event]

    def of(self, *types: str) -> list[Event]:
        """The events of these types, in order."""
        return [e for e in self.events if e.type in types]


async def read_histories(client: Client) -> list[History]:
    """The histories of all runs of the namespace."""
    return [history async for history in read_pages(client)]


async def read_pages(client: Client) -> AsyncIterator[History]:
    """The same one after the other, for those who have many; a page of them is read together."""
    page = None
    while True:
        listed = await client.list(limit=PAGE, page=page)
        for one in await asyncio.gather(*(read_one(client, run) for run in listed["workflows"])):
            yield one
        page = listed["next_page"]
        if page is None:
            return


async def read_one(client: Client, run: Mapping[str, str]) -> History:
    """The history of a run that was listed."""
    handle = client.get_handle(run["workflow_id"], run["run_id"])
    events = [event async for event in handle.history()]
    return History(run["workflow_id"], run["run_id"], events)


def problems_of(history: History) -> Iterator[str]:
    """What is wrong with the history of a closed run, as sentences."""
    events = history.events
    name = f"{history.workflow_id} (run {history.run_id})"
    ids = [e.id for e in events]
    if ids != list(range(1, len(ids) + 1)):
        yield f"{name}: event ids are not 1..n: {ids}"
    if not events or [e.id for e in history.of(STARTED)] != [1]:
        yield f"{name}: it does not begin with its one start"
    closing = [e.id for e in events if e.type in CLOSING]
    if closing != [len(events)]:
        yield f"{name}: closing events {closing} in a history of {len(events)}"
    if any(b.ts < a.ts for a, b in itertools.pairwise(events)):
        yield f"{name}: time goes back"
    seen = [e.body["seen"] for e in history.of("WorkflowTaskCompleted")]
    if seen != sorted(seen):
        yield f"{name}: decisions saw {seen}"
    yield from _activity_problems(name, history)
    yield from _timer_problems(name, history)
    yield from _answer_problems(name, history)


def _activity_problems(name: str, history: History) -> Iterator[str]:
    scheduled = Counter(e.body["seq"] for e in history.of("ActivityTaskScheduled"))
    ended = Counter(e.body["seq"] for e in history.of(*OUTCOMES))
    if scheduled != ended or any(n != 1 for n in scheduled.values()):
        yield f"{name}: activities {dict(scheduled)} have the outcomes {dict(ended)}"


def _timer_problems(name: str, history: History) -> Iterator[str]:
    due = {e.body["seq"]: e.ts + e.body["ms"] for e in history.of("TimerStarted")}
    ends = history.of("TimerFired")
    canceled = [e.body["target"] for e in history.of("TimerCanceled")]
    if Counter([e.body["seq"] for e in ends] + canceled) != Counter(due.keys()):
        yield f"{name}: timers {sorted(due)} fired {[e.body['seq'] for e in ends]}"
    for event in ends:
        if event.ts < due.get(event.body["seq"], 0):
            yield f"{name}: timer {event.body['seq']} fired early"


def _answer_problems(name: str, history: History) -> Iterator[str]:
    """Children and updates: each asked for once, each answered once at most, and in this order."""
    asked = "StartChildWorkflowExecutionInitiated"
    begun = ("ChildWorkflowExecutionStarted", "StartChildWorkflowExecutionFailed")
    for field, steps in (
        ("seq", ((asked,), begun, tuple(CHILD_EVENT.values()))),
        (
            "update_id",
            (
                ("WorkflowExecutionUpdateAdmitted",),
                ("WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateRejected"),
                ("WorkflowExecutionUpdateCompleted",),
            ),
        ),
    ):
        before: set[object] | None = None
        for types in steps:
            found = Counter(e.body[field] for e in history.of(*types) if field in e.body)
            if any(times > 1 for times in found.values()):
                yield f"{name}: {types[0]} (or what stands for it) twice: {dict(found)}"
            if before is not None and not set(found) <= before:
                yield f"{name}: {types[0]} of {set(found) - before}, which came from nowhere"
            before = set(found)


def effect_problems(histories: Sequence[History], effects: Sequence[Effect]) -> Iterator[str]:
    """Where the effect log and the histories differ about which attempts there were."""
    ran = by_activity(list(effects))
    for history in histories:
        for event in history.of(*OUTCOMES):
            seq, last = event.body["seq"], event.body["attempt"]
            found = ran.pop((history.run_id, seq), [])
            attempts = sorted(e.attempt for e in found)
            name = f"{history.workflow_id} activity {seq}"
            if event.type == "ActivityTaskCompleted" and last not in attempts:
                yield f"{name}: completed by attempt {last}, which never ran (ran: {attempts})"
            if len(set(attempts)) != len(attempts) or any(a > last for a in attempts):
                yield f"{name}: ran attempts {attempts}, the history knows {last}"
            if len({e.key for e in found}) > 1:
                yield f"{name}: its idempotency key changed"
    for (run_id, seq), found in ran.items():
        yield f"run {run_id}: activity {seq} ran {len(found)} times and is in no history"


def signal_problems(
    history: History,
    acknowledged: Sequence[object],
    unknown: Sequence[object],
    taken: Sequence[object],
) -> Iterator[str]:
    """Where a run's signals are not those its one sender sent, in the order they were sent.

    ``unknown`` are those whose answer never came: they are there once or not at all, and may be
    more than the code wanted. ``taken`` is what it says it took.
    """
    came = [e.body["input"][0] for e in history.of("WorkflowExecutionSignaled")]
    name = history.workflow_id
    if [n for n in came if n not in unknown] != list(acknowledged):
        yield f"{name}: acknowledged signals {list(acknowledged)}, in its history {came}"
    if any(came.count(n) > 1 for n in unknown):
        yield f"{name}: a signal without an answer came twice: {came}"
    if list(taken) != (came[: len(taken)] if unknown else came):
        yield f"{name}: came {came}, taken {taken}"


async def leftovers(client: Client, histories: Sequence[History]) -> Mapping[str, object]:
    """What closed runs left behind of what must be empty once all are closed and all is stopped."""
    store, found = client.store, dict[str, object]()
    for p in store.partitions:
        streams = p.workflow_queue("orders"), p.activity_queue("orders")
        lengths = await store.read(
            *(("XLEN", stream) for stream in streams),
            ("ZRANGE", p.timers, 0, -1),
            ("ZRANGE", p.leases, 0, -1),
        )
        for name, left in zip((*streams, p.timers, p.leases), lengths, strict=True):
            if left:
                found[name] = left
    for history in histories:
        pend = store.partition(history.workflow_id).pend(history.run_id)
        (length,) = await store.read(("HLEN", pend))
        if length:
            found[pend] = length
    return found
