"""What a worker reports of activities goes together, and no report suffers from another (5.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from tests.protocol import gates
from tests.support.engine import Engine, Make, within
from tests.support.mutants import patience, proves, replaced

from luaflow.client.handle import Handle
from luaflow.errors import Unknown
from luaflow.store.store import Store
from luaflow_worker import reports
from luaflow_worker.attempt import Attempt, Verdict
from luaflow_worker.reports import Reports

PYTHON = {"gate": "tests.protocol.gates:gate"}
OPTIONS = {"disable_eager_activities": True}
ONCE = """
local funcs = require("funcs")
local function main(name)
  local once = funcs.new():with_options({["activity.retry_policy"] = {maximum_attempts = 1}})
  local got, err = once:call("app:gate", name)
  return err and err:message() or got
end
"""
LEASE_MS = 600


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


@contextmanager
def first_report_waits(gate: asyncio.Event, began: asyncio.Event) -> Iterator[None]:
    """The first reports are on their way until the gate opens, and then nobody knows."""
    apart = Store.apart

    async def slow(self: Store, *calls: Any) -> Any:
        reports = any(call.script.name == "finish_activity" for call in calls)
        if reports and not began.is_set():
            began.set()
            await gate.wait()
            raise Unknown("no answer")
        return await apart(self, *calls)

    with patch.object(Store, "apart", slow):
        yield


async def held(engine: Engine, began: asyncio.Event) -> list[Handle]:
    """Two runs whose activities have ended: one report is on its way, the other waits for it."""
    added, add = asyncio.Event(), Reports.add

    def noted(self: Reports, attempt: Attempt, end: Verdict) -> None:
        add(self, attempt, end)
        added.set()

    await engine.deploy({"flow": ONCE}, python=PYTHON, worker=OPTIONS)
    await engine.worker(drain_seconds=0.1)
    runs = [await engine.start("flow", name) for name in "ab"]
    for name in "ab":
        await within(gates.began[name].wait())
    gates.open_["a"].set()
    await within(began.wait())
    with patch.object(Reports, "add", noted):
        gates.open_["b"].set()
        await within(added.wait())
    return runs


async def test_a_report_that_waits_is_sent_though_the_one_before_it_failed(
    engine: Engine,
) -> None:
    """Nobody knows what became of the first: the others do not wait until one more ends."""
    gate, began = asyncio.Event(), asyncio.Event()
    with first_report_waits(gate, began):
        lost, fine = await held(engine, began)
        gate.set()
        assert await within(fine.result()) == "b"
    await lost.terminate()


@proves(replaced(reports, "BESIDE_SECONDS", None))
async def test_a_report_waits_for_no_other_for_long(make_engine: Make) -> None:
    """It ended in time: that another report takes long does not make it a late one."""
    engine = await make_engine(lease_ms=LEASE_MS)
    gate, began = asyncio.Event(), asyncio.Event()
    await engine.scheduler()
    with first_report_waits(gate, began):
        _, fine = await held(engine, began)
        try:
            assert await fine.result(timeout=patience()) == "b"
        finally:
            gate.set()


async def test_a_report_that_waits_is_sent_before_the_worker_stops(engine: Engine) -> None:
    """What has ended is not lost with a worker that has no time left for what is on its way."""
    gate, began = asyncio.Event(), asyncio.Event()
    with first_report_waits(gate, began):
        lost, fine = await held(engine, began)
        await engine.retire(engine.workers[0])
        assert "ActivityTaskCompleted" in await engine.types(fine)
    for run in (lost, fine):
        await run.terminate()
