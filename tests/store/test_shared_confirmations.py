"""What waits for a confirmation together shares one: each may take a second (design 5.5)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.engine import within
from tests.support.mutants import proves, replaced
from tests.support.replication import Replication
from tests.support.runs import Runs

from luaflow.store import link as link_module
from luaflow.store import transitions
from luaflow.store.link import Call, Link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.store import Store

MANY = 30
JOIN = Link._join


def _for_itself(link: Link, confirm: tuple[Any, ...]) -> Any:
    """A confirmation of its own for each: no two are the same command."""
    return JOIN(link, (*confirm[:-1], int(confirm[-1]) + len(link._shared)))


async def _signals(store: Store) -> list[Call]:
    route = await Runs(store).start("wf")
    signal = transitions.message(route=route, type="WorkflowExecutionSignaled", body=b"{}")
    return [signal] * MANY


async def _opened(group: Replication) -> Store:
    link = Link(group.url)
    settings = Settings(partitions=2, durability="replicated", replicas=1)
    await create_namespace(link, "ns", settings)
    await link.close()
    return await Store.open(group.url, "ns")


async def _waits(store: Store) -> int:
    """How often the server was told to wait for replicas."""
    (text,) = await store.link.batch([("INFO", "commandstats")])
    lines = [line for line in bytes(text).decode().splitlines() if line.startswith("cmdstat_wait:")]
    return int(lines[0].partition("calls=")[2].partition(",")[0]) if lines else 0


@proves(replaced(Link, "_join", _for_itself))
async def test_many_at_once_wait_once_or_twice(tmp_path: Path) -> None:
    """Those that are written together, and those that come while these wait."""
    async with Replication(tmp_path) as group:
        store = await _opened(group)
        try:
            calls = await _signals(store)
            before = await _waits(store)
            answers = await asyncio.gather(*(store.one(call) for call in calls))
            assert [bytes(answer[0]) for answer in answers] == [b"ok"] * MANY
            assert await _waits(store) <= before + 3
        finally:
            await store.close()


async def test_one_that_gives_up_takes_nobody_along(tmp_path: Path) -> None:
    """A confirmation belongs to all that wait for it."""
    async with Replication(tmp_path) as group:
        store = await _opened(group)
        try:
            link, calls = store.link, await _signals(store)
            assert isinstance(link, Link)
            group.replicas[0].pause()
            tasks = [asyncio.create_task(store.link.batch([call])) for call in calls[:3]]
            while len(link._open) != 1:  # noqa: ASYNC110 - the confirmation alone is open
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)  # now each of them waits for it
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            group.replicas[0].resume()
            assert [len(await within(task)) for task in tasks[1:]] == [1, 1]
        finally:
            await store.close()


@proves(replaced(link_module, "HINTS", frozenset()))
async def test_what_is_due_is_told_without_a_confirmation(tmp_path: Path) -> None:
    """A scheduler need not wait a second to learn what it may do, and is confirmed in doing it."""
    async with Replication(tmp_path) as group:
        store = await _opened(group)
        try:
            call = transitions.due(partition=store.partitions[0], limit=1, latest=1000)
            await store.one(call)
            before = await _waits(store)
            await store.one(call)
            assert await _waits(store) == before
        finally:
            await store.close()
