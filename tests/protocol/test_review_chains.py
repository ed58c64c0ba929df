"""Updates of chains: a run that is tried again hands on what it did not take."""

from __future__ import annotations

import asyncio

from tests.protocol.hand import Hand
from tests.protocol.test_retrying import NEXT, out_of_time
from tests.support.engine import Engine, Make, within
from tests.support.mutants import mutant, proves, replaced

from luaflow.client import updates
from luaflow.client.client import Client
from luaflow.store import transitions
from luaflow.store.store import Store
from luaflow.store.transitions import Route

ADDS = """
local workflow = require("workflow")
local function main()
  local attempt = workflow.info().attempt
  local function add(n) return {n + 1, attempt} end
  workflow.on_update("add", add)
  workflow.on_update("judged", add, function() return attempt > 1 end)
  process.listen("stop"):receive()
  return attempt
end
"""
OPTIONS = {"workflow.run_timeout": "60s", "workflow.retry_policy": {"initial_interval": "1s"}}


async def engine_of(make: Make) -> Engine:
    """A simulated namespace with a scheduler."""
    engine = await make(simulated=True)
    await engine.deploy({"adds": ADDS})
    await engine.scheduler()
    return engine


async def nowhere(_store: Store, _route: Route) -> None:
    """A chain nobody finds."""


@proves(replaced(updates, "present", nowhere))
async def test_an_update_goes_where_the_chain_is(make_engine: Make) -> None:
    """The handle of a run that was out of time reaches the one that was tried instead."""
    engine = await engine_of(make_engine)
    await engine.worker()
    handle = await engine.start("adds", id="w", options=OPTIONS)
    await engine.until(handle, "WorkflowTaskCompleted")
    await engine.shift(60_000)
    await engine.until(handle, "WorkflowExecutionTimedOut")
    await engine.shift(1_000)
    assert await within(handle.update("judged", 1)) == [2, 2]
    await engine.client.get_handle("w").signal("stop")
    assert await within(handle.result()) == 2


@proves(mutant("includes/next", "  rcall('HSET', run_key, 'next', n.next)\n", ""))
async def test_who_waits_for_an_update_follows_it(make_engine: Make) -> None:
    """Nobody took it before the run was out of time: the next one does, and answers it."""
    engine = await engine_of(make_engine)
    first = await engine.worker()
    handle = await engine.start("adds", id="w", options=OPTIONS)
    await engine.until(handle, "WorkflowTaskCompleted")
    await engine.retire(first)
    asked = asyncio.ensure_future(Client(engine.store).get_handle("w").update("add", 1))
    await engine.until(handle, "WorkflowExecutionUpdateAdmitted")
    await engine.shift(60_000)
    await engine.until(handle, "WorkflowExecutionTimedOut")
    await engine.worker()
    await engine.shift(1_000)
    assert await within(asked) == [2, 2]
    await engine.client.get_handle("w").signal("stop")
    assert await within(handle.result()) == 2


async def retried(hand: Hand, *, unread: int = 0) -> Route:
    """A run that was out of time, with messages nobody took, and is tried again."""
    route = await hand.start("w", run_timeout=1000)
    await hand.tell_many(route, [f"s{n}" for n in range(unread)])
    await hand.shift(1000)
    assert (await hand.store.one(out_of_time(route)))[0] == b"ok"
    return route


@proves(mutant("update", "(w[4] or '') == r.first", "r.status == 'running'"))
async def test_an_update_between_two_runs_reaches_the_second(hand: Hand) -> None:
    """It was on its way when the first one was out of time."""
    route = await retried(hand)
    at, answer = await hand.store.reach(
        route, lambda r: transitions.update(route=r, update_id="u", body=b'{"update_id":"u"}')
    )
    assert answer[0] == b"ok", answer
    assert at.run_id == NEXT


@proves(
    mutant(
        "includes/next",
        "  rcall('HDEL', run_key, 'refused'",
        "  rcall('HSET', run_key, 'next', n.next)\n  rcall('HDEL', run_key, 'refused'",
    )
)
async def test_who_is_ended_on_the_way_has_no_next_run(hand: Hand) -> None:
    """It was continuing when it was terminated: nobody who waits is sent after a run never made."""
    route = await retried(hand, unread=501)
    assert (await hand.state(route))["task"] == "continuing"
    assert (await hand.end(route))[0] == b"ok"
    assert "next" not in await hand.state(route)


@proves(mutant("continue_slice", "rcall('HSET', run_key, 'next', next_run)\n", ""))
async def test_the_last_slice_names_the_next_run(hand: Hand) -> None:
    """From then on whoever waits for the first one goes on with that."""
    route = await retried(hand, unread=501)
    while (await hand.slice(route))[2] == 0:
        pass
    assert (await hand.state(route))["next"] == NEXT
