"""A history is read page by page: while one is replayed the next is on its way, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from unittest.mock import patch

from tests.support.mutants import proves, replaced

from luaflow.domain.events import Event
from luaflow_worker import stretches

PAGE, LAST = 10, 45
NOWHERE: Any = None


class Pages:
    """Stands for the server: which pages were asked for, how many are on their way."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.open = 0

    async def read(self, _store: Any, _route: Any, first: int, last: int) -> list[Event]:
        self.asked.append(first)
        self.open += 1
        try:
            await asyncio.sleep(0.001)
        finally:
            self.open -= 1
        return history(first, min(first + PAGE - 1, last))


def history(first: int, last: int) -> list[Event]:
    """Each third event is a decision."""
    kinds = {0: "WorkflowTaskCompleted", 1: "TimerStarted", 2: "TimerFired"}
    return [Event(n, n, kinds[n % 3], b"{}") for n in range(first, last + 1)]


async def _in_turn(store: Any, route: Any, first: int, last: int) -> AsyncIterator[list[Event]]:
    while first <= last:
        page = await stretches.read_page(store, route, first, last)
        first = page[-1].id + 1
        yield page


async def _all(store: Any, route: Any, first: int, last: int) -> AsyncIterator[list[Event]]:
    reads = [stretches.read_page(store, route, n, last) for n in range(first, last + 1, PAGE)]
    for page in await asyncio.gather(*reads):
        yield page


@proves(replaced(stretches, "_pages", _in_turn), replaced(stretches, "_pages", _all))
async def test_the_next_page_is_on_its_way() -> None:
    """All events come, in order; meanwhile one page is read, which is the next one."""
    pages, seen, early = Pages(), list[int](), set[int]()
    with patch.object(stretches, "read_page", pages.read), patch.object(stretches, "PART", 3):
        async with aclosing(stretches.stretches(NOWHERE, NOWHERE, history(1, PAGE), LAST)) as parts:
            async for part in parts:
                assert part[0].id == 1 or part[0].type == "WorkflowTaskCompleted"
                seen += [event.id for event in part]
                assert pages.asked[-1] <= seen[-1] + 2 * PAGE
                early.add(pages.asked[-1] if pages.asked[-1] > seen[-1] > PAGE else 0)
    assert seen == list(range(1, LAST + 1))
    assert pages.asked == list(range(PAGE + 1, LAST + 1, PAGE))
    assert early == {0, *pages.asked[1:]}


async def test_who_stops_leaves_no_read_behind() -> None:
    """A replay that fails in the middle: the page that is on its way is given up."""
    pages = Pages()
    with patch.object(stretches, "read_page", pages.read), patch.object(stretches, "PART", 3):
        async with aclosing(stretches.stretches(NOWHERE, NOWHERE, history(1, PAGE), LAST)) as parts:
            async for part in parts:
                if part[-1].id > PAGE:
                    break
        await asyncio.sleep(0)
    assert pages.open == 0
    assert len(pages.asked) == 2
