"""Runs that wait for all kinds of things, to be found again somewhere else and to go on there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from luaflow.client.handle import Handle
from luaflow.store.store import Store
from tests.protocol import gates
from tests.support.engine import Engine, within

FLOW = """
local funcs, time = require("funcs"), require("time")
local function main(name)
  time.sleep("1h")
  local told = process.inbox():receive():payload():data()
  return { name, told, funcs.call("app:note", name) }
end
"""
CALL = """
local funcs = require("funcs")
local function main(name) return funcs.call("app:note", name) end
"""
NOTE = {"note": "tests.protocol.gates:note"}
HOUR = 3_600_000


class OpenRuns:
    """Runs in every state there is while nobody works, and what is to become of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.flows: list[Handle] = []
        self.queued: Handle | None = None
        self.closed: Handle | None = None
        self.job: Any = None

    async def begin(self, *, stop: bool = True) -> None:
        """Make them, and stop everything; without ``stop`` nothing is queued."""
        gates.reset()
        engine = self.engine
        await engine.deploy({"flow": FLOW, "call": CALL}, python=NOTE)
        await engine.worker()
        await engine.scheduler()
        self.closed = await engine.start("call", "closed")
        assert await within(self.closed.result()) == 1
        self.flows = [await engine.start("flow", str(n)) for n in range(6)]
        for flow in self.flows:
            await engine.until(flow, "TimerStarted")
        await self.flows[0].signal("go", "early")
        if not stop:
            return
        await engine.stop()
        self.queued = await engine.start("call", "queued")
        self.job = await engine.client.enqueue("app:note", "job", queue="q")

    async def go_on(self, engine: Engine) -> None:
        """Go on on another server, to the end of all of them."""
        assert self.closed
        gates.reset()  # (activities are counted: what was done after a backup is done again)
        client = engine.client
        closed = client.get_handle(self.closed.workflow_id, self.closed.run_id)
        assert await within(closed.result()) == 1
        assert (await engine.types(closed))[-1] == "WorkflowExecutionCompleted"
        await engine.worker()
        await engine.scheduler()
        if self.queued:
            assert await within(client.get_handle(self.queued.workflow_id).result()) == 1
            assert await within(client.get_job(self.job.job_id).result()) == 1
        await engine.shift(HOUR)
        for n, old in enumerate(self.flows):
            flow = client.get_handle(old.workflow_id, old.run_id)
            if n:
                await flow.signal("go", "late")
            assert await within(flow.result()) == [str(n), "late" if n else "early", 1]
        again = await engine.start("call", "new")
        assert await within(again.result()) == 1


@asynccontextmanager
async def engine_on(url: str, namespace: str, folder: Path) -> AsyncIterator[Engine]:
    """An engine on a namespace that is there already; all is checked at its end."""
    engine = Engine(await Store.open(url, namespace), folder)
    try:
        yield engine
        await engine.check()
    finally:
        await engine.stop()
        await engine.store.close()
