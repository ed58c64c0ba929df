"""A worker under attack: what one run does to those it shares a batch with."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from tests.protocol import gates
from tests.support.engine import Engine
from tests.support.mutants import patience, proves, replaced

from luaflow.errors import LuaflowError, Unavailable
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow_worker import proposal, steps, workflow_tasks
from luaflow_worker.workflow_tasks import WorkflowTasks

PYTHON = {"gate": "tests.protocol.gates:gate", "note": "tests.protocol.gates:note"}
FINE = "local function main(n) return n end"
CALLS = 'local funcs = require("funcs") local function main(n) return funcs.call("{}") end'


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


async def all_fine(engine: Engine, count: int = 4) -> None:
    """Runs that were read with a bad one complete."""
    handles = [await engine.start("fine", n, id=engine.id_in(n + 2, "f")) for n in range(count)]
    await engine.worker()
    assert [await h.result(timeout=patience()) for h in handles] == list(range(count))


async def test_a_local_activity_that_hangs_holds_its_own_run_only(engine: Engine) -> None:
    """The other runs of its batch are committed without waiting for it (3.6)."""
    await engine.deploy(
        {"hangs": CALLS.format('app:gate", "x'), "fine": FINE}, python=PYTHON, local=("gate",)
    )
    hangs = await engine.start("hangs", id=engine.id_in(1, "s"))
    await all_fine(engine)
    gates.open_["x"].set()
    assert await hangs.result(timeout=patience()) == "x"


BUSY = """
local function main()
  local x = 0
  for i = 1, 5000000 do x = x + 1 end
  return x
end
"""


@proves(replaced(workflow_tasks, "ROUND_SECONDS", 1e9))
async def test_long_decisions_are_committed_as_they_come(engine: Engine) -> None:
    """A batch that needs longer than a lease would lose all its tasks, each time it is read."""
    await engine.deploy({"busy": BUSY})
    handles = [await engine.start("busy", id=engine.id_in(n, "b")) for n in range(8)]
    committed: list[int] = []
    apart = Store.apart

    async def counted(store: Store, *calls: Call) -> list[list[Any] | LuaflowError]:
        committed.append(sum(call.script.name == "commit" for call in calls))
        return await apart(store, *calls)

    with patch.object(Store, "apart", counted):
        await engine.worker()
        for handle in handles:
            await handle.result(timeout=30)
    assert sum(committed) == 8
    assert max(committed) < 8


def _no_timers(self: proposal.Proposal, c: Any) -> None:
    raise KeyError("nobody foresaw this")


async def test_a_decision_that_cannot_be_spelled_out_fails_alone(engine: Engine) -> None:
    """Whatever goes wrong with one run of a batch, the others complete (3.6)."""
    sleeps = 'local time = require("time")\nlocal function main() time.sleep("1h") end'
    await engine.deploy({"bad": sleeps, "fine": FINE})
    bad = await engine.start("bad", id=engine.id_in(1, "s"))
    with patch.dict(proposal._SPELL, {"timer": _no_timers}):
        await all_fine(engine)
        stuck = orjson.loads((await engine.fields(bad))["stuck"])
    assert stuck["reason"] == "engine"
    assert "nobody foresaw this" in stuck["message"]
    await bad.terminate()


@proves(replaced(Store, "apart", Store.run))
async def test_a_run_whose_script_fails_fails_alone(engine: Engine) -> None:
    """A key of a wrong type makes every script of its run fail, and no other's (3.6)."""
    await engine.deploy(
        {"bad": FINE, "fine": CALLS.format('app:step", n, "')}, activities={"step": FINE}
    )
    bad = await engine.start("bad", id=engine.id_in(1, "s"))
    p = engine.store.partition(bad.workflow_id)
    await engine.store.read(("SET", p.pend(str(bad.run_id)), "a text"))
    try:
        await all_fine(engine)
    finally:
        await engine.store.read(("DEL", p.pend(str(bad.run_id))))
        await bad.terminate()


VERSION = """
local workflow = require("workflow")
local function main() return workflow.version("a\\255", 1, 2) end
"""


async def test_names_of_any_bytes_replay(engine: Engine) -> None:
    """A change id that is no UTF-8 is found again in the history (3.4)."""
    await engine.deploy({"flow": VERSION})
    await engine.worker()
    assert await engine.execute("flow") == 2


STEP = """
local funcs = require("funcs")
local function main()
  local once = funcs.new():with_options({["activity.retry_policy"] = {maximum_attempts = 1}})
  return once:call("app:step")
end
"""


async def test_results_outlive_the_failure_of_a_batch(engine: Engine) -> None:
    """The server went away while a batch was settled: what already ran is reported."""
    settle = WorkflowTasks._settle

    async def cut_off(self: WorkflowTasks, step: Any, answer: Any, at: float) -> Any:
        if step.live.place.type == "app:fine":
            raise Unavailable
        return await settle(self, step, answer, at)

    once = "local function main() return 7 end"
    await engine.deploy({"flow": STEP, "fine": FINE}, activities={"step": once})
    flow = await engine.start("flow", id=engine.id_in(1, "s"))
    with patch.object(WorkflowTasks, "_settle", cut_off):
        await all_fine(engine)
        assert await flow.result(timeout=patience()) == 7


@proves(replaced(steps, "MOST_COMMANDS", 1e9))
async def test_a_decision_asks_for_so_much_and_no_more(engine: Engine) -> None:
    """Where code cannot be paused, thousands of timers at once are refused; it is told (3.8)."""
    many = """local time = require("time")
    local function main()
      ("x"):rep(5001):gsub("x", function() time.after("1h") end)
      time.sleep("1h")
    end"""
    await engine.deploy({"many": many, "fine": FINE})
    bad = await engine.start("many", id=engine.id_in(1, "s"))
    await all_fine(engine)
    assert b"the limit is 5000" in (await engine.fields(bad)).get("stuck", "").encode()
    await bad.terminate()


CHAIN = """
local funcs = require("funcs")
local function main()
  local m
  for i = 1, 1000000 do
    m = funcs.call("app:step")
    if m == "stop" then return i > 0 end
  end
end
"""


async def test_a_run_that_never_pauses_holds_one_slot(engine: Engine) -> None:
    """What was read with it gives its slots back when it is done (5.11)."""
    await engine.deploy({"chain": CHAIN, "fine": FINE}, activities={"step": FINE})
    chain = await engine.start("chain", id=engine.id_in(1, "s"))
    await all_fine(engine)
    flows = engine.workers[0].workflows
    async with asyncio.timeout(patience()):
        while flows.active > 1:
            flows.freed.clear()
            await flows.freed.wait()
    await chain.terminate()
