"""Cron: the next run begins at its time after the one before is over, and never in its stead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from tests.protocol.test_retrying import closed
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import mutant, proves, replaced

from luaflow.client.handle import Handle
from luaflow.domain.cron import Cron, parse_cron
from luaflow.errors import InvalidArgument, WorkflowFailed

MINUTE = 60_000

TURN = """
local workflow, errors = require("workflow"), require("errors")
local function main(mode)
  local first = process.inbox():receive():topic()
  if first == "fail" then return nil, errors.new({message = "down", kind = "Unavailable"}) end
  if first == "cancel" then return nil, errors.new({message = "off", kind = "Canceled"}) end
  return first
end
"""
QUICK = "local function main(x) return x end"


async def engine_of(make: Make) -> Engine:
    """A simulated namespace with a worker and a scheduler."""
    engine = await make(simulated=True)
    await engine.deploy({"turn": TURN, "quick": QUICK})
    await engine.scheduler()
    await engine.worker()
    return engine


async def begin(engine: Engine, type_: str, cron: str, *args: Any, **options: Any) -> Handle:
    """Start a workflow with a cron."""
    given = {"workflow.cron_schedule": cron, **options}
    return await engine.start(type_, *args, id="w", options=given)


async def due(engine: Engine, run_id: str) -> int:
    """When the first task of a run is due, counted from now (ms)."""
    p = engine.store.partition("w")
    (score, now) = await engine.store.read(
        ("ZSCORE", p.timers, f"f|{run_id}"), ("HGET", p.meta, "vtime")
    )
    assert score, "it waits for no time"
    return int(score) - int(now)


@proves(mutant("includes/open", "if at > now then", "if false then"))
async def test_the_first_run_waits_for_its_time(make_engine: Make) -> None:
    """It is open, and its workflow id is taken; it has no task before the first time."""
    engine = await engine_of(make_engine)
    handle = await begin(engine, "quick", "@every 90s", "x")
    assert await due(engine, str(handle.run_id)) == 90_000
    begins = datetime.fromisoformat((await handle.describe())["first_task_time"])
    assert begins.timestamp() * 1000 == (await engine.history(handle))[0].body["cron_at"]
    await engine.shift(89_999)
    assert await engine.types(handle) == ["WorkflowExecutionStarted"]
    await engine.shift(1)
    body = await within(closed(engine, handle, str(handle.run_id)))
    assert (body["type"], body["result"]) == ("WorkflowExecutionCompleted", "x")
    assert await due(engine, body["new_run_id"]) == 90_000
    found = await engine.client.get_handle("w").describe()
    assert (found["run_id"], found["cron_schedule"]) == (body["new_run_id"], "@every 90s")
    assert found["attempt"] == 1


async def test_turns_keep_to_the_calendar(make_engine: Make) -> None:
    """Five fields: each run begins on the minute, whatever second the one before ended in."""
    engine = await engine_of(make_engine)
    handle = await begin(engine, "quick", "*/5 * * * *")
    p = engine.store.partition("w")
    for _ in range(3):
        run = (await engine.client.get_handle("w").describe())["run_id"]
        (score,) = await engine.store.read(("ZSCORE", p.timers, f"f|{run}"))
        assert int(score) % (5 * MINUTE) == 0
        await engine.shift(await due(engine, run))
        await within(closed(engine, handle, run))


async def test_a_run_that_takes_long_skips_turns(make_engine: Make) -> None:
    """Runs never overlap; the next one is at the first time after the end, not at each missed."""
    engine = await engine_of(make_engine)
    handle = await begin(engine, "turn", "@every 60s")
    await engine.shift(MINUTE)
    await until(engine, handle, "WorkflowTaskCompleted")
    await engine.shift(10 * MINUTE + 1)
    await handle.signal("go")
    body = await within(closed(engine, handle, str(handle.run_id)))
    assert await due(engine, body["new_run_id"]) in range(MINUTE - 2000, MINUTE)


def _again(self: Cron, now: int, anchor: int) -> int | None:
    return now - 1 if now > anchor else _AFTER(self, now, anchor)


_AFTER = Cron.after


@proves(replaced(Cron, "after", _again))
async def test_a_clock_that_is_moved_on_makes_one_run(make_engine: Make) -> None:
    """A day is skipped at once: one run is late, and the next one is at its time again."""
    engine = await engine_of(make_engine)
    handle = await begin(engine, "quick", "@every 60s", 1)
    await engine.shift(86_400_000)
    body = await within(closed(engine, handle, str(handle.run_id)))
    second = body["new_run_id"]
    assert await due(engine, second) in range(50_000, 60_001)
    assert await engine.types(engine.client.get_handle("w", second)) == ["WorkflowExecutionStarted"]


async def test_what_fails_or_is_out_of_time_comes_again(make_engine: Make) -> None:
    """A failed turn is followed by the next, and so is one that its run timeout ended."""
    engine = await engine_of(make_engine)
    handle = await begin(engine, "turn", "@every 60s", **{"workflow.run_timeout": "10s"})
    await engine.shift(MINUTE)
    await until(engine, handle, "WorkflowTaskCompleted")
    await handle.signal("fail")
    first = await within(closed(engine, handle, str(handle.run_id)))
    assert first["type"] == "WorkflowExecutionFailed"
    await engine.shift(MINUTE)
    second = engine.client.get_handle("w", first["new_run_id"])
    await until(engine, second, "WorkflowTaskCompleted")
    await engine.shift(10_000)
    timed_out = await within(closed(engine, handle, first["new_run_id"]))
    assert timed_out["type"] == "WorkflowExecutionTimedOut"
    assert await due(engine, timed_out["new_run_id"]) in range(49_000, 50_001)


async def test_retries_come_before_the_next_turn(make_engine: Make) -> None:
    """A turn is tried again by its policy; then the cron goes on, and attempts count anew."""
    engine = await engine_of(make_engine)
    policy = {"initial_interval": "5s", "maximum_attempts": 2}
    handle = await begin(engine, "turn", "@every 60s", **{"workflow.retry_policy": policy})
    await handle.signal("fail")
    await engine.shift(MINUTE)
    first = await within(closed(engine, handle, str(handle.run_id)))
    assert await due(engine, first["new_run_id"]) == 5_000
    await engine.client.get_handle("w").signal("fail")
    await engine.shift(5_000)
    second = await within(closed(engine, handle, first["new_run_id"]))
    third = engine.client.get_handle("w", second["new_run_id"])
    started = (await engine.history(third))[0].body
    assert (started["attempt"], started["initiator"]) == (1, "cron")
    assert await due(engine, second["new_run_id"]) in range(50_000, 55_001)


@pytest.mark.parametrize("how", ["cancel", "terminate"])
async def test_cancel_and_terminate_end_a_cron(make_engine: Make, how: str) -> None:
    """Nothing follows a run that closed as canceled, or that was terminated."""
    engine = await engine_of(make_engine)
    handle = await begin(engine, "turn", "@every 60s")
    if how == "terminate":
        await handle.terminate()
    else:
        await handle.signal("cancel")
        await engine.shift(MINUTE)
    with pytest.raises(WorkflowFailed) as caught:
        await within(handle.result())
    assert caught.value.status == f"{how}d".replace("canceld", "canceled").replace("eed", "ed")


PARENT = """
local function main()
  local spawner = process.with_options({
    ["workflow.id"] = "w", ["workflow.cron_schedule"] = "@every 60s",
    ["workflow.parent_close_policy"] = "abandon",
  })
  return (spawner:spawn("app:quick", "app:worker", 7))
end
"""


async def test_a_child_may_have_a_cron(make_engine: Make) -> None:
    """It waits for its first time as any run does."""
    engine = await engine_of(make_engine)
    await engine.deploy({"turn": TURN, "quick": QUICK, "parent": PARENT})
    handle = await engine.start("parent")
    await within(handle.result())
    child = engine.client.get_handle("w")
    run_id = str((await child.describe())["run_id"])
    assert await due(engine, run_id) in range(59_000, 61_001)
    await engine.shift(61_000)
    assert (await within(closed(engine, child, run_id)))["new_run_id"]


async def test_a_bad_expression_starts_nothing(make_engine: Make) -> None:
    """It is refused at the edge, by the client and to the code of a parent."""
    engine = await engine_of(make_engine)
    with pytest.raises(InvalidArgument, match=r"workflow\.cron_schedule must be a cron"):
        await begin(engine, "quick", "every day")
    assert (await engine.client.list())["workflows"] == []
    assert parse_cron("@every 60s").every_ms == MINUTE
