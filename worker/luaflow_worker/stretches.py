"""A history read and replayed a stretch at a time: a long one fills no memory and stops nobody.

A stretch begins with a decision (or with the history), so that what one asked for stays together.
Between two of them the event loop turns: leases are renewed, others go on, supervisors hear of us.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from luaflow.domain.events import TASK_COMPLETED, Event
from luaflow.store import past
from luaflow.store.store import Store
from luaflow.store.transitions import Route

PART = 200
"""Events in a stretch at least, where a decision follows them."""


def parse_events(entries: Sequence[Any]) -> list[Event]:
    """Return the events of a reply: ``[[id, [ts, …, t, …, e, …]], …]``."""
    return [past.event_of(entry) for entry in entries]


async def read_page(store: Store, route: Route, first: int, last: int) -> list[Event]:
    """Return the events from ``first`` on, 500 at most of a stream, and none after ``last``."""
    return await past.read_events(store, route.partition, route.run_id, first, last)


async def read_events(store: Store, route: Route, first: int, last: int) -> list[Event]:
    """Return the events ``first`` to ``last``, read in pages."""
    events: list[Event] = []
    while first <= last:
        page = await read_page(store, route, first, last)
        if not page:
            break
        events += page
        first = events[-1].id + 1
    return events


async def length_of(store: Store, route: Route) -> int:
    """Return the id of the last event."""
    (length,) = await store.read(("HGET", route.partition.run(route.run_id), "len"))
    return int(length or 0)


def parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Cut a history where decisions begin."""
    begin = 0
    for at, event in enumerate(events):
        if at - begin >= PART and event.type == TASK_COMPLETED:
            yield events[begin:at]
            begin = at
    yield events[begin:]


async def stretches(
    store: Store, route: Route, events: Sequence[Event], last: int
) -> AsyncGenerator[Sequence[Event], None]:
    """Yield a history up to ``last`` in stretches; it begins with ``events``, the rest is read."""
    if events and events[-1].id >= last and len(events) < PART:
        yield events  # no turn of the loop: most runs are short
        return
    if events and events[-1].id < last:
        async with contextlib.aclosing(_pages(store, route, events[-1].id + 1, last)) as pages:
            async for page in pages:
                cut = _last_decision(page)
                if cut is None:
                    events = [*events, *page]
                    continue
                for part in parts([*events, *page[:cut]]):
                    yield part
                    await asyncio.sleep(0)
                events = page[cut:]
    for part in parts(events):
        yield part
        await asyncio.sleep(0)


async def _pages(
    store: Store, route: Route, first: int, last: int
) -> AsyncGenerator[list[Event], None]:
    """Yield the pages from ``first`` on: while one is replayed the next is on its way, no more."""

    def begin() -> asyncio.Task[list[Event]]:
        return asyncio.create_task(read_page(store, route, first, last), name="luaflow-next-page")

    ahead: asyncio.Task[list[Event]] | None = begin()
    try:
        while ahead is not None and (page := await ahead):
            first = page[-1].id + 1
            ahead = begin() if first <= last else None
            yield page
    finally:
        if ahead is not None:
            # (who replays may have stopped: nobody hears what became of this page)
            ahead.add_done_callback(lambda done: done.cancelled() or done.exception())
            ahead.cancel()


def _last_decision(page: Sequence[Event]) -> int | None:
    return next((i for i in range(len(page) - 1, -1, -1) if page[i].type == TASK_COMPLETED), None)
