"""Attacks on what a worker reads, holds and lets go of; each has kept somebody waiting for ever."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.protocol import gates
from tests.protocol.hand import Hand
from tests.support.engine import Engine, Make, within
from tests.support.mutants import mutant, patience, proves, replaced

from luaflow.client.handle import Handle
from luaflow.errors import Unavailable
from luaflow.store import transitions
from luaflow.store.link import Call
from luaflow.store.transitions import Route
from luaflow_worker import background
from luaflow_worker import live as live_module
from luaflow_worker import worker as worker_module
from luaflow_worker.background import Background
from luaflow_worker.lanes import Lanes
from luaflow_worker.live import Live
from luaflow_worker.local_activities import LocalActivities
from luaflow_worker.polling import Poller
from luaflow_worker.quarantine import Quarantine

PYTHON = {"gate": "tests.protocol.gates:gate", "deaf": "tests.protocol.test_worker_reads_on:deaf"}
FINE = "local function main() return 1 end"
HOLD = """
local funcs = require("funcs")
local function main(name) return funcs.call("app:gate", name) end
"""
URGENT = {"workflow.priority": {"priority_key": 1}}


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


async def lose(engine: Engine, handle: Handle) -> None:
    """End the lease of a run's task: its worker was cut off for longer."""
    p, run_id = engine.store.partition(handle.workflow_id), str(handle.run_id)
    await engine.store.read(("ZADD", p.leases, 1, f"w|{run_id}"))
    route = Route(p, handle.workflow_id, run_id, "q")
    call = transitions.expire_task(route=route, score="1", reason=b"{}")
    assert (await engine.store.one(call))[0] == b"ok"


# -- reading ---------------------------------------------------------------------------------------


async def _known_too_soon(self: Lanes) -> None:
    found = {"q!hi"}
    if not found <= self._known:
        self._known |= found
        await self._serve(set(self._known))
    await self.idle(60)


@proves(replaced(Lanes, "round", _known_too_soon))
async def test_a_lane_that_cannot_be_read_at_once_is_read_later(engine: Engine) -> None:
    """The server was away when it came into use: all lanes are read when it is back."""
    opened, failed = Poller.open, list[Poller]()

    async def away(self: Poller) -> None:
        if not failed:
            failed.append(self)
            raise Unavailable
        await opened(self)

    await engine.deploy({"fine": FINE})
    await engine.worker()
    with patch.object(Poller, "open", away):
        urgent = await engine.start("fine", options=URGENT)
        assert await within((await engine.start("fine")).result()) == 1
        assert await within(urgent.result()) == 1
    assert failed


@proves(replaced(LocalActivities, "many", property(lambda self: len(self.waiting))))
async def test_runs_taken_again_while_their_local_activities_run_keep_nobody_waiting(
    engine: Engine,
) -> None:
    """Both decisions of each wait, and neither uses the processor: others are decided."""
    await engine.deploy({"hold": HOLD, "fine": FINE}, python=PYTHON, local=("gate",))
    with patch.object(worker_module, "MOST_BUSY", 2):
        worker = await engine.worker(drain_seconds=0.1)
        held = [await engine.start("hold", f"h{n}") for n in range(2)]
        for n, one in enumerate(held):
            await within(gates.began[f"h{n}"].wait())
            gates.began[f"h{n}"].clear()
            await lose(engine, one)
            await within(gates.began[f"h{n}"].wait())
        assert await within((await engine.start("fine")).result()) == 1
        for n, one in enumerate(held):
            gates.open_[f"h{n}"].set()
            assert await within(one.result()) == f"h{n}"
        await within(worker.workflows.background.wait(60))
        assert not worker.workflows.locals.waiting
        assert (worker.workflows.locals.many, worker.workflows.active) == (0, 0)


SUSPECT = """
local funcs = require("funcs")
local function main(how)
  if how == "spin" then while true do end end
  if how == "hold" then return funcs.call("app:gate", "x") end
  return how
end
"""


@asynccontextmanager
async def _never_aside(self: Quarantine) -> AsyncIterator[None]:
    yield


@proves(replaced(Quarantine, "aside", _never_aside))
async def test_a_suspect_that_waits_for_a_local_activity_keeps_no_other_waiting(
    engine: Engine,
) -> None:
    """They are decided one at a time; while one only waits, it is the next one's turn (3.6)."""
    options = {"deadlock_detection_timeout": "100ms"}
    await engine.deploy({"flow": SUSPECT}, python=PYTHON, local=("gate",), worker=options)
    worker = await engine.worker(drain_seconds=0.1)
    noted = asyncio.Event()
    with patch.object(worker.workflows._metrics, "task_failed", lambda *_: noted.set()):
        spins = await engine.start("flow", "spin")
        await within(noted.wait())
    held = await engine.start("flow", "hold")
    await within(gates.began["x"].wait())
    others = [await engine.start("flow", n) for n in range(3)]
    assert [await within(one.result()) for one in others] == [0, 1, 2]
    gates.open_["x"].set()
    assert await within(held.result()) == "x"
    await spins.terminate()


LOOP = """
local funcs = require("funcs")
local function main()
  for i = 1, 100000 do funcs.call("app:step", i) end
end
"""
SELF = """
local function main()
  local inbox = process.inbox()
  while true do
    process.send(process.pid(), "again", 1)
    inbox:receive()
  end
end
"""


@pytest.mark.parametrize("type_", ["loop", "self"])
@proves(replaced(live_module, "MOST_ROUNDS", 1_000_000))
async def test_runs_that_go_on_without_end_keep_no_new_one_waiting(
    engine: Engine, type_: str
) -> None:
    """As many as may be on their way while more tasks are read."""
    await engine.deploy({"loop": LOOP, "self": SELF, "fine": FINE}, activities={"step": FINE})
    with patch.object(worker_module, "MOST_BUSY", 2):
        worker = await engine.worker(drain_seconds=0.1)
        runs = [await engine.start(type_) for _ in range(3)]
        for run in runs:
            await engine.until(run, "WorkflowTaskCompleted")
        fine = await engine.start("fine")
        over = [asyncio.create_task(within(run.result())) for run in runs]
        assert await within(fine.result()) == 1
        assert not any(one.done() for one in over)
        for one in over:
            one.cancel()
        for run in runs:
            await run.terminate()
        await within(worker.workflows.background.wait(60))
        assert worker.workflows.active == 0


# -- leases ----------------------------------------------------------------------------------------


async def _nothing(self: LocalActivities, live: Live) -> None:
    """Leave the lease as the task began with it."""


@proves(replaced(LocalActivities, "_keep", _nothing))
async def test_what_a_task_may_take_is_not_the_time_of_its_local_activities(
    engine: Engine,
) -> None:
    """A task that may take less than a third of a lease is not lost before it is renewed."""
    await engine.deploy({"hold": HOLD}, python=PYTHON, local=("gate",))
    await engine.worker(drain_seconds=0.1)
    held = await engine.start("hold", "x", task_timeout="300ms")
    await within(gates.began["x"].wait())
    p = engine.store.partition(held.workflow_id)
    ends, (seconds, _) = await engine.store.read(
        ("ZSCORE", p.leases, f"w|{held.run_id}"), ("TIME",)
    )
    assert int(ends) > int(seconds) * 1000 + engine.store.settings.lease_ms / 2
    gates.open_["x"].set()
    assert await within(held.result()) == "x"


@proves(mutant("renew_task", "if waits == 1 and v[6] then", "if false then"))
async def test_a_task_is_not_lost_between_its_local_activities_and_its_commit(hand: Hand) -> None:
    """They took longer than the task may; a renewal comes before the commit has arrived."""
    route = await hand.start(limit=4_000)
    task = await hand.take(route)

    def renew(*, waits: bool) -> Call:
        return transitions.renew_task(
            partition=route.partition,
            run_id=route.run_id,
            turn=task.turn,
            worker="a",
            waits=waits,
        )

    assert (await hand.store.one(renew(waits=True)))[0] == b"ok"
    await hand.shift(5_000)
    assert (await hand.store.one(renew(waits=False)))[0] == b"ok"
    assert (await hand.expire(route))[0] == b"early"
    assert (await hand.commit(task))[0] == b"ok"


# -- draining --------------------------------------------------------------------------------------


async def deaf(name: str) -> str:
    """As ``gates.gate``, but it does not let itself be cancelled."""
    gates.began[name].set()
    while not gates.open_[name].is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await gates.open_[name].wait()
    return name


async def _wait_for_all(self: Background) -> None:
    for task in list(self.tasks):
        task.cancel()
    await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.mark.parametrize("local", [False, True])
@proves(replaced(Background, "cancel", _wait_for_all))
async def test_a_drain_does_not_wait_for_code_that_catches_its_cancellation(
    engine: Engine, *, local: bool
) -> None:
    """What it was at work on is handed back: another worker does it."""
    hold = HOLD.replace("gate", "deaf")
    await engine.deploy({"hold": hold}, python=PYTHON, local=("deaf",) if local else ())
    worker = await engine.worker(drain_seconds=0.1)
    held = await engine.start("hold", "x")
    await within(gates.began["x"].wait())
    stop = asyncio.create_task(engine.retire(worker))
    try:
        with patch.object(background, "CANCEL_SECONDS", 0.1):
            await within(asyncio.shield(stop))
        assert worker.deaf
        if local:
            gates.began["x"].clear()
            await engine.worker(drain_seconds=0.1)
            await within(gates.began["x"].wait())
    finally:
        gates.open_["x"].set()
        await stop
    await (within(held.result()) if local else held.terminate())


async def test_a_process_ends_though_its_code_catches_its_cancellation(engine: Engine) -> None:
    """The event loop of a program waits for what it has cancelled, however long that takes."""
    hold = HOLD.replace("gate", "deaf")
    await engine.deploy({"hold": hold}, python=PYTHON)
    where = ("--redis", engine.store.url, "--namespace", engine.store.namespace)
    how = ("--queue", "q", "--app", str(engine.folder), "--drain-timeout", "0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "luaflow_worker.cli", *where, *how, cwd=Path(__file__).parents[2]
    )
    try:
        held = await engine.start("hold", "x")
        await engine.until(held, "ActivityTaskScheduled")
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        await held.terminate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@proves(replaced(LocalActivities, "lost", lambda *_: None))
async def test_local_activities_of_a_run_that_is_over_give_their_slot_back(
    make_engine: Make,
) -> None:
    """A renewal is told that the task is lost; what it waits for is of no use any more."""
    engine = await make_engine(lease_ms=300)
    one = {"max_concurrent_workflow_task_execution_size": 1}
    await engine.deploy({"hold": HOLD, "fine": FINE}, python=PYTHON, local=("gate",), worker=one)
    await engine.worker(drain_seconds=0.1)
    held = await engine.start("hold", "x")
    await within(gates.began["x"].wait())
    await held.terminate()
    fine = await engine.start("fine")
    try:
        assert await fine.result(timeout=patience()) == 1
    finally:
        gates.open_["x"].set()


@pytest.mark.parametrize("type_", ["loop", "self"])
async def test_endless_runs_in_all_slots_keep_nobody_waiting(engine: Engine, type_: str) -> None:
    """As many of them as there are slots: they take turns with the next ones."""
    sources = {"loop": LOOP, "self": SELF, "fine": FINE}
    one = {"max_concurrent_workflow_task_execution_size": 2}
    await engine.deploy(sources, activities={"step": FINE}, worker=one)
    await engine.worker(drain_seconds=0.1)
    runs = [await engine.start(type_) for _ in range(2)]
    for run in runs:
        await engine.until(run, "WorkflowTaskCompleted")
    fine = await engine.start("fine")
    try:
        assert await fine.result(timeout=patience()) == 1
    finally:
        for run in runs:
            await run.terminate()
        await within(fine.result())
