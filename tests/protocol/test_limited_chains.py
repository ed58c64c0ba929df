"""Chains of runs under limits: retries and crons keep their slot, and give their locks back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocol.hand import Hand
from tests.protocol.test_concurrency import begun, ready, waits
from tests.protocol.test_continuing import NEXT, continuing
from tests.protocol.test_continuing import finish as slices
from tests.protocol.test_retrying import closed
from tests.support.engine import Engine, Make, within
from tests.support.mutants import mutant, proves

from luaflow.client.handle import Handle

MINUTE = 60_000
SAID = """
local errors = require("errors")
local function main()
  local said = process.listen("say"):receive()
  if said == "fail" then return nil, errors.new({message = "down", kind = "Unavailable"}) end
  return said
end
"""
POLICY = {"workflow.retry_policy": {"initial_interval": "10s", "maximum_attempts": 3}}


async def limited(make: Make) -> Engine:
    """A simulated namespace in which one run of ``job`` may be under way."""
    engine = await make(simulated=True)
    await ready(engine, {"concurrency": 1}, job=SAID)
    return engine


async def start(engine: Engine, options: dict[str, Any] | None = None) -> Handle:
    """A run that returns, or fails, as it is told."""
    return await engine.start("job", options=options)


async def finish(engine: Engine, handle: Handle) -> None:
    """Let it come to its end."""
    await begun(engine, handle)
    await handle.signal("say", "done")
    assert await within(handle.result()) == "done"


@pytest.mark.parametrize("how", ["fail", "timeout"])
@proves(mutant("includes/next", "  hand_slot_on(newpend_key)\n", ""))
async def test_a_run_that_is_tried_again_keeps_its_slot(make_engine: Make, how: str) -> None:
    """Also while it waits for its next try, however the last one ended."""
    engine = await limited(make_engine)
    one = await start(engine, {**POLICY, "workflow.run_timeout": "5s"})
    two = await start(engine)
    await begun(engine, one)
    if how == "fail":
        await one.signal("say", "fail")
    else:
        await engine.shift(5_000)
    body = await within(closed(engine, one, str(one.run_id)))
    await engine.settle()
    assert await waits(engine, two)
    await engine.shift(10_000)
    await finish(engine, engine.client.get_handle(one.workflow_id, body["new_run_id"]))
    await finish(engine, two)


@proves(
    mutant("includes/next", "  hand_slot_on(newpend_key)\n", ""),
    mutant("includes/open", "if begin > now then set_timer('g|' .. run_id, begin) end", ""),
)
async def test_a_cron_keeps_its_slot_between_its_turns(make_engine: Make) -> None:
    """It has it before its first turn, too, which does not begin before its time."""
    engine = await limited(make_engine)
    one = await start(engine, {"workflow.cron_schedule": "@every 60s"})
    await engine.until(one, "ConcurrencySlotGranted")
    two = await start(engine)
    assert (await engine.fields(one))["task"] == "gated"
    await engine.shift(MINUTE)
    await begun(engine, one)
    await one.signal("say", "fail")
    body = await within(closed(engine, one, str(one.run_id)))
    await engine.settle()
    assert await waits(engine, two)
    await engine.shift(MINUTE)
    second = engine.client.get_handle(one.workflow_id, body["new_run_id"])
    await begun(engine, second)
    await second.terminate()
    await finish(engine, two)


@proves(mutant("deliver_slot", "set_timer('x|' .. run_id, due + limit)", "local _"))
async def test_the_run_timeout_begins_with_the_slot(make_engine: Make) -> None:
    """Who waits does not run; so nothing is tried again that never began."""
    engine = await limited(make_engine)
    one = await start(engine)
    await begun(engine, one)
    two = await start(engine, {"workflow.run_timeout": "10s"})
    await engine.shift(20_000)
    assert await waits(engine, two)
    await finish(engine, one)
    await begun(engine, two)
    await engine.shift(10_000)
    body = await within(closed(engine, two, str(two.run_id)))
    assert body["type"] == "WorkflowExecutionTimedOut"


async def test_a_lock_is_free_between_two_tries(make_engine: Make) -> None:
    """As at a continue-as-new: the next try asks again."""
    engine = await make_engine(simulated=True)
    code = """
    local workflow, errors = require("workflow"), require("errors")
    local function main()
      local lock, err = workflow.lock("k")
      if not lock then return nil, err end
      if process.listen("say"):receive() == "fail" then
        return nil, errors.new({message = "down", kind = "Unavailable"})
      end
      return "done"
    end"""
    await engine.deploy({"locks": code})
    await engine.worker()
    await engine.scheduler()
    one = await engine.start("locks", options=POLICY)
    await engine.until(one, "LockGranted")
    two = await engine.start("locks")
    await engine.until(two, "LockRequested")
    await one.signal("say", "fail")
    body = await within(closed(engine, one, str(one.run_id)))
    await engine.until(two, "LockGranted")
    await engine.shift(10_000)
    again = engine.client.get_handle(one.workflow_id, body["new_run_id"])
    await engine.until(again, "LockRequested")
    for run in (two, again):
        await run.signal("say", "done")
        assert await within(run.result()) == "done"


@proves(mutant("continue_slice", "hand_slot_on(newpend_key)\n", ""))
async def test_a_chain_with_many_messages_keeps_its_slot(hand: Hand) -> None:
    """The last slice hands it on."""
    hand.excused = True  # the record is that of a slot nobody gave
    route, _ = await continuing(hand)
    p = route.partition
    await hand.store.read(("HSET", p.pend(route.run_id), "c:0", "slot"))
    await slices(hand, route)
    old, new = await hand.store.read(
        ("HGET", p.pend(route.run_id), "c:0"), ("HGET", p.pend(NEXT), "c:0")
    )
    assert (old, new) == (None, b"slot")


async def test_who_makes_way_for_a_child_gives_its_slot_back(engine: Engine) -> None:
    """The child is a newcomer, though it has the workflow id of the run before it."""
    parent = """
    local function main()
      local options = {
        ["workflow.id"] = "one", ["workflow.id_conflict_policy"] = "terminate_existing",
        ["workflow.parent_close_policy"] = "abandon",
      }
      local _, err = process.with_options(options):spawn("app:job", "app:worker")
      if err then return nil, err end
      return "spawned"
    end"""
    await ready(engine, {"concurrency": 1}, job=SAID, parent=parent)
    old = await engine.start("job", options={"workflow.id": "one"})
    await begun(engine, old)
    assert await within((await engine.start("parent")).result()) == "spawned"
    assert (await closed(engine, old, str(old.run_id)))["type"] == "WorkflowExecutionTerminated"
    now = engine.client.get_handle("one")
    found = (await now.describe())["run_id"]
    assert found != old.run_id
    await finish(engine, engine.client.get_handle("one", found))
