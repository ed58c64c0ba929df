"""One run with a very long history, made and used for real: python -m tools.long_history.

A run that calls activities and takes signals until its history has so many events; then a worker
that has never seen it takes it, and everything that people ask of it is asked. Printed: seconds,
megabytes, and how long the event loop of the worker stood still at most. ``--record`` keeps the
figures (``tools.figures``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from luaflow import Client
from luaflow.deploy import deploy
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app
from luaflow.store.store import Store
from luaflow_scheduler.scheduler import Scheduler
from luaflow_worker.worker import Worker, WorkerConfig
from tools.figures import record

EVENTS = 200_000
SIGNALS = 500
"""Signals put into the history at once, after each batch of activities."""
WORKFLOW = """
local funcs = require("funcs")

local function main()
    local inbox, seen, sum = process.inbox(), 0, 0
    workflow.on_query("seen", function() return seen end)
    while true do
        local message = inbox:receive()
        seen = seen + 1
        local topic = message:topic()
        if topic == "end" then
            return { seen = seen, sum = sum }
        elseif topic == "again" then
            return workflow.continue_as_new()
        elseif topic == "work" then
            local calls = {}
            for i = 1, 100 do calls[i] = funcs.async("app:add", i) end
            for i = 1, 100 do
                local payload = calls[i]:response():receive()
                sum = sum + payload:data()
            end
        end
    end
end

return { main = main }
"""

INDEX = {
    "version": "1.0",
    "namespace": "app",
    "entries": [
        {"name": "client", "kind": "temporal.client", "address": "redis://localhost:6379"},
        {"name": "worker", "kind": "temporal.worker", "client": "client", "task_queue": "q"},
        {
            "name": "long",
            "kind": "workflow.lua",
            "source": "file://long.lua",
            "method": "main",
            "modules": ["funcs", "workflow"],
            "meta": {"temporal": {"workflow": {"worker": "worker"}}},
        },
        {
            "name": "add",
            "kind": "function.lua",
            "source": "file://add.lua",
            "method": "main",
            "meta": {"temporal": {"activity": {"worker": "worker"}}},
        },
    ],
}
ADD = "local function main(n) return n + 1 end\nreturn { main = main }\n"


class Pulse:
    """How long the event loop stood still at most since the last look (s)."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._last = time.monotonic()
        self._task = asyncio.create_task(self._beat(), name="pulse")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            self._worst, self._last = max(self._worst, now - self._last - 0.005), now

    def worst(self) -> float:
        """The longest stand-still; the next one is measured from here."""
        worst, self._worst = self._worst, 0.0
        return worst

    async def stop(self) -> None:
        """Feel no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


def megabytes() -> float:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


class Trial:
    """The run, and what was measured of it: ``<what>_s``, ``<what>_stall_s``, ``…_mb``."""

    def __init__(self, client: Client, url: str, app: Path) -> None:
        self.client = client
        self.figures: dict[str, float] = {}
        self._url = url
        self._app = app
        self._pulse = Pulse()

    async def timed(self, what: str, work: Awaitable[Any]) -> Any:
        """Do something and note how long it took, and how long the loop stood still."""
        self._pulse.worst()
        since = time.monotonic()
        found = await work
        self.figures[f"{what}_s"] = round(time.monotonic() - since, 3)
        self.figures[f"{what}_stall_s"] = round(self._pulse.worst(), 3)
        return found

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker that has seen nothing yet."""
        store = await Store.open(self._url, "default")
        worker = Worker(store, WorkerConfig(("q",), app=self._app))
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()
            await store.close()

    async def close(self) -> None:
        """Measure no more."""
        await self._pulse.stop()


async def settled(client: Client, workflow_id: str) -> None:
    """Wait until the code has seen all that there is, and waits for more."""
    store = client.store
    route = await store.route(workflow_id)
    p, run = route.partition, route.run_id
    async with asyncio.timeout(600):
        while True:
            (state, waits) = await store.read(
                ("HMGET", p.run(run), "task", "news"), ("HLEN", p.pend(run))
            )
            if (state, waits) == ([b"", b"0"], 0):
                return
            await asyncio.sleep(0.01)


async def grow(trial: Trial, events: int) -> int:
    """Make the run, and its history as long; the number of messages it has taken."""
    handle = await trial.client.start("app:long", id="long")
    sent = 0
    async with trial.worker():
        while (await handle.describe())["history_length"] < events:
            await asyncio.gather(*(handle.signal("note", n) for n in range(SIGNALS)))
            await asyncio.gather(*(handle.signal("work") for _ in range(10)))
            sent += SIGNALS + 10
            await settled(trial.client, "long")
    return sent


async def use(trial: Trial, sent: int) -> None:
    """All that is done with a run of that length, by a worker that has never seen it."""
    client, figures = trial.client, trial.figures
    handle = client.get_handle("long")
    run = await trial.timed("describe", handle.describe())
    figures["events"], figures["bytes"] = run["history_length"], run["history_size"]
    await trial.timed("list", client.list())

    async def show() -> int:
        return sum([1 async for _ in handle.history()])

    figures["before_mb"] = round(megabytes())
    figures["shown"] = await trial.timed("show", show())
    async with trial.worker() as worker:
        await handle.signal("note", 0)
        taken = asyncio.create_task(until_cached(worker), name="taken")
        await trial.timed("take_and_replay", taken)
        figures["after_replay_mb"] = round(megabytes())
        assert await trial.timed("query", handle.query("seen", timeout=120)) == sent + 1
        await handle.signal("note", 1)
        await trial.timed("next_decision", settled(client, "long"))
        await handle.signal("again")
        await handle.signal("end")
        result = await trial.timed("continue_and_end", handle.result(timeout=120))
        assert result["seen"] == 1, result


async def until_cached(worker: Worker) -> None:
    """Wait until the worker has decided the run and keeps it in memory."""
    async with asyncio.timeout(600):
        while not any(not live.busy and live.cid for live in worker.workflows.cache):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def measure(folder: Path, events: int) -> dict[str, float]:
    """Everything, on a server of its own in ``folder``; the figures."""
    app = folder / "app"
    app.mkdir()
    (app / "_index.json").write_text(json.dumps(INDEX), encoding="utf-8")
    (app / "long.lua").write_text(WORKFLOW, encoding="utf-8")
    (app / "add.lua").write_text(ADD, encoding="utf-8")
    with EmbeddedServer(folder / "redis", appendfsync="everysec") as server:
        async with await Client.connect(server.url, "default") as client:
            await deploy(client.store, load_app(app))
            store = await Store.open(server.url, "default")
            scheduler = Scheduler(store)
            await scheduler.start()
            trial = Trial(client, server.url, app)
            try:
                sent = await trial.timed("grow", grow(trial, events))
                await use(trial, sent)
            finally:
                await trial.close()
                await scheduler.stop()
                await store.close()
    return trial.figures


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        since = time.monotonic()
        figures = asyncio.run(measure(Path(folder), given.events))
        took = time.monotonic() - since
    for name, value in figures.items():
        print(f"{name:<28} {value}")
    if given.record:
        repeat = f"python -m tools.long_history --events {given.events} --record"
        counts = {"long_histories": 1, "events": figures["events"]}
        how: dict[str, Any] = {"repeat": repeat, "server": "embedded", "seconds": took}
        record("long_history", counts, **how, notes=figures)


if __name__ == "__main__":
    main()
