"""A worker that is paused for longer than its lease is too late: it changes nothing any more."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio
from tests.crash.conftest import World
from tests.support.effects import read_effects
from tests.support.histories import problems_of, read_histories
from tests.support.processes import Fleet, Gate, Program

from luaflow import Client
from luaflow.domain.events import Event
from luaflow.embedded import EmbeddedServer
from luaflow.store.scripts import load


class Watch:
    """What the server is asked from now on, as it hears it."""

    def __init__(self, monitor: redis.asyncio.client.Monitor) -> None:
        self._monitor = monitor

    async def asked(self, script: str, by: str) -> None:
        """Return when a worker (``by``, its id) has had this script run."""
        wanted = load(script).sha.decode()
        async with asyncio.timeout(30):
            async for command in self._monitor.listen():
                if wanted in command["command"] and by in command["command"]:
                    return


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[Watch]:
    """Listen to what the server is asked."""
    async with redis.asyncio.Redis.from_url(url) as client, client.monitor() as monitor:
        yield Watch(monitor)


async def name_of(worker: Program) -> str:
    """The id a worker writes under."""
    return (await worker.line(r"^luaflow-worker (\w+) .* serves"))[1]


async def events_of(client: Client, workflow_id: str) -> list[tuple[int, int, str, bytes]]:
    """The history of a workflow, to compare."""

    def shape(event: Event) -> tuple[int, int, str, bytes]:
        return event.id, event.ts, event.type, event.raw

    return [shape(event) async for event in client.get_handle(workflow_id).history()]


@pytest.mark.parametrize("when", ["while another attempt runs", "after it ended"])
async def test_late_activity_is_fenced(
    server: EmbeddedServer, fleet: Fleet, gate: Gate, effects: Path, world: World, when: str
) -> None:
    """An activity outlives its lease in a paused worker: another attempt counts, not this one."""
    client = await world()
    slow, _ = await asyncio.gather(fleet.worker(), fleet.scheduler())
    handle = await client.start("app:held", {"activity": "hold", "wait": True}, id="late")
    await slow.line("effect hold late 1")
    slow.send(signal.SIGSTOP)
    other = await fleet.worker()
    await other.line("effect hold late 2")
    if when == "after it ended":
        gate.let_later()
        await happened(client, "late", "ActivityTaskCompleted", "WorkflowTaskCompleted")
    before = await events_of(client, "late")
    async with watching(server.url) as server_hears:
        slow.send(signal.SIGCONT)
        gate.let_first()
        await server_hears.asked("finish_activity", by=await name_of(slow))
    assert await events_of(client, "late") == before
    gate.let_later()
    await handle.signal("go")
    result = await handle.result(30)
    assert (result["attempt"], result["process"]) == (2, other.pid)
    assert [e.attempt for e in read_effects(effects)] == [1, 2]
    await all_is_well(client)
    await serves_alone(client, fleet, slow, other)


async def test_late_decision_is_refused(
    server: EmbeddedServer, fleet: Fleet, gate: Gate, world: World
) -> None:
    """A decision outlives its lease in a paused worker: another worker decides, and that stands."""
    client = await world()
    slow, _ = await asyncio.gather(fleet.worker(), fleet.scheduler())
    handle = await client.start("app:held", {"activity": "hold_here", "wait": True}, id="late")
    await slow.line("effect hold_here late 1")
    slow.send(signal.SIGSTOP)
    other = await fleet.worker()
    await other.line("effect hold_here late 1")
    gate.let_first()
    await happened(client, "late", "WorkflowTaskCompleted", "MarkerRecorded")
    before = await events_of(client, "late")
    async with watching(server.url) as server_hears:
        slow.send(signal.SIGCONT)
        gate.let_first()
        await server_hears.asked("commit", by=await name_of(slow))
    assert await events_of(client, "late") == before
    await handle.signal("go")
    assert (await handle.result(30))["process"] == other.pid
    await all_is_well(client)
    await serves_alone(client, fleet, slow, other)


@pytest.mark.parametrize("role", ["all", "activity"])
async def test_worker_that_wakes_goes_on(fleet: Fleet, gate: Gate, world: World, role: str) -> None:
    """A pause shorter than the lease is no loss: the attempt of before counts."""
    client = await world(lease_ms=20_000)
    slow, *_ = await asyncio.gather(
        fleet.worker("--role", role), fleet.worker("--role", "workflow"), fleet.scheduler()
    )
    handle = await client.start("app:held", {"activity": "hold"}, id="pause")
    await slow.line("effect hold pause 1")
    slow.send(signal.SIGSTOP)
    gate.let_first()
    slow.send(signal.SIGCONT)
    assert (await handle.result(30))["attempt"] == 1
    await all_is_well(client)


async def happened(client: Client, workflow_id: str, *types: str) -> None:
    """Return when events of these types are in the history, in this order."""
    missing = list(types)
    async for event in client.get_handle(workflow_id).history(follow=True):
        if event.type == missing[0]:
            del missing[0]
        if not missing:
            return


async def all_is_well(client: Client) -> None:
    """No history is broken."""
    problems = [p for history in await read_histories(client) for p in problems_of(history)]
    assert problems == []


async def serves_alone(client: Client, fleet: Fleet, slow: Program, other: Program) -> None:
    """The worker that was fenced does its work as before, without the other."""
    assert await other.stop() == 0
    handle = await client.start("app:order", {"items": 0})
    assert await handle.result(30) == {"numbers": []}
    assert slow.running
