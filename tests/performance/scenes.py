"""What is counted: each scene does one thing some times over, on a whole engine of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from luaflow import Client
from luaflow.client import Handle
from luaflow.deploy import deploy
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app
from luaflow.store import deployed
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow_scheduler.scheduler import Scheduler
from luaflow_worker.worker import Worker, WorkerConfig
from tests.performance.instructions import Instructions
from tests.performance.tap import Monitor, Passed, Tap
from tests.support.nodes import free_port

APP = load_app(Path(__file__).parents[2] / "bench" / "app")
ORDER = {
    "order_id": "ord-000001",
    "customer": {"id": 4711, "name": "Ada Lovelace"},
    "items": [{"sku": "A-1", "qty": 2}, {"sku": "B-7", "qty": 1}],
    "amount": 129.5,
    "currency": "EUR",
    "note": "leave at the door please, thank you very much",
}
TIMES = 10
Counts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """A client of the engine, and where to look on past the tap.

    Ids are given out in turn, so each scene works in the same partitions whenever it is played.
    """

    client: Client
    beside: str
    ids: Iterator[str]


class Scene(NamedTuple):
    """What is done ``times`` over; ``prepare`` makes what it is done to.

    ``slack``: how many times more than usual the counts may differ, where chance says what is done
    together.
    """

    work: Callable[[Stage, Any], Awaitable[object]]
    prepare: Callable[[Stage], Awaitable[Any]] | None = None
    roles: tuple[str, ...] = ("all",)
    times: int = TIMES
    at_once: bool = False
    slack: float = 1.0


def _execute(type: str, *args: Any) -> Callable[[Stage, Any], Awaitable[object]]:
    async def work(stage: Stage, _: Any) -> object:
        return await stage.client.execute(f"bench:{type}", *args, id=next(stage.ids))

    return work


class _Run:
    """A run that waits for messages, and what it has decided."""

    def __init__(self, handle: Handle, beside: str) -> None:
        self.handle = handle
        self._beside = beside
        self._last = "0"

    async def decided(self) -> None:
        """Wait for its next decision, past the tap."""
        p = self.handle._store.partition(self.handle.workflow_id)
        reader, found = Reader(self._beside), False
        try:
            async with asyncio.timeout(20):
                while not found:
                    words = (p.hist(str(self.handle.run_id)), self._last)
                    answer = await reader.read("XREAD", "BLOCK", 3000, "STREAMS", *words)
                    for entry, fields in answer[0][1] if answer else ():
                        self._last = entry.decode()
                        found = found or fields[3] == b"WorkflowTaskCompleted"
        finally:
            await reader.close()


async def _listener(stage: Stage) -> _Run:
    handle = await stage.client.start("bench:listener", 1_000_000, id=next(stage.ids))
    run = _Run(handle, stage.beside)
    await run.decided()
    return run


async def _signal(_: Stage, run: _Run) -> None:
    """Until the code has handled it, so that no two share a decision."""
    await run.handle.signal("note", 1)
    await run.decided()


async def _query(_: Stage, run: _Run) -> object:
    return await run.handle.query("seen")


async def _update(_: Stage, run: _Run) -> object:
    return await run.handle.update("tick")


async def _job(stage: Stage, _: Any) -> object:
    return await stage.client.call("bench:echo", 1, queue="bench", id=next(stage.ids))


SCENES = {
    "order": Scene(_execute("order", ORDER)),
    "order, separate workers": Scene(_execute("order", ORDER), roles=("workflow", "activity")),
    "orders, 20 at once": Scene(_execute("order", ORDER), times=20, at_once=True, slack=20),
    "100 activities": Scene(_execute("fan_out", 100), times=3),
    "timer": Scene(_execute("nap"), times=20, at_once=True, slack=20),
    "signal": Scene(_signal, _listener),
    "query": Scene(_query, _listener),
    "update": Scene(_update, _listener),
    "plain job": Scene(_job),
    "child": Scene(_execute("parent", 1)),
}


async def count(scene: Scene, folder: Path, binary: Path | None = None) -> Counts:
    """Play a scene on a server of its own; the counts of one step."""
    port, instructions = free_port(), Instructions()
    options = ("--port", str(port), "--bind", "127.0.0.1")
    with (
        EmbeddedServer(folder, appendfsync="everysec", binary=binary, extra=options) as server,
        instructions.counting(),
        patch.object(deployed, "KNOWN_SECONDS", 60.0),  # how often that is over is a matter of time
    ):
        async with Tap(port) as tap, _engine(tap, scene.roles) as client:
            stage = Stage(client, server.url, (f"w-{n}" for n in itertools.count()))
            made = await scene.prepare(stage) if scene.prepare else None
            await _play(scene, stage, made)  # code is loaded, caches are filled
            await tap.quiet()
            monitor = Monitor(server.url.removeprefix("unix://"), tap)
            async with monitor.counting():
                lua = instructions.so_far()
                tap.passed = Passed()
                await _play(scene, stage, made)
                await tap.quiet()
                lua = instructions.so_far() - lua
            return _each(tap.passed, lua, scene.times)


async def _play(scene: Scene, stage: Stage, made: Any) -> None:
    if scene.at_once:
        await asyncio.gather(*(scene.work(stage, made) for _ in range(scene.times)))
        return
    for _ in range(scene.times):
        await scene.work(stage, made)


def _each(passed: Passed, lua: int, times: int) -> Counts:
    """The counts of one step, to two digits: what is shared by several steps is no whole number."""
    inside, calls = passed.inside, passed.calls
    totals = {
        "round_trips": passed.trips,
        "commands": calls.total() + inside.total(),
        "sent_bytes": passed.sent,
        "received_bytes": passed.received,
        "lua_instructions": lua,
        "written_bytes": passed.written,
    }
    found: Counts = {name: round(value / times, 2) for name, value in totals.items()}
    found["by_name"] = {
        name: [round(calls[name] / times, 2), round(inside[name] / times, 2)]
        for name in sorted(calls)
        if calls[name]
    }
    return found


@contextlib.asynccontextmanager
async def _engine(tap: Tap, roles: tuple[str, ...]) -> AsyncIterator[Client]:
    """Workers of these roles and a scheduler in this process, and a client."""
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(await Client.connect(tap.url, "default"))
        await deploy(client.store, APP)

        async def connect(url: str) -> Store:
            store = await Store.open(url, "default")
            stack.push_async_callback(store.close)
            return store

        for role in roles:
            config = WorkerConfig(("bench",), role=role, app=APP.root)
            worker = Worker(await connect(tap.url), config, app=APP)
            stack.push_async_callback(worker.stop)
            await worker.start()
        scheduler = Scheduler(await connect(tap.scripts_url))
        stack.push_async_callback(scheduler.stop)
        await scheduler.start()
        yield client
