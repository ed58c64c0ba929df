"""Locks over all runs of a namespace: one holder, in order, and never kept by who has ended."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocol import gates
from tests.protocol.hand import Hand
from tests.protocol.scenes_entity import asks, brings, gives_back
from tests.support.engine import Engine, Make, within
from tests.support.mutants import Violation, kernel_mutant, mutant, proves, replaced

from luaflow.client.handle import Handle
from luaflow.store.entities import Line
from luaflow.store.relay import drain_outbox
from luaflow_scheduler import closing
from luaflow_scheduler.lost_requests import LostRequests

TAKE = """
local workflow, time = require("workflow"), require("time")
local function main(key, options)
  process.set_options({interrupt_on_cancel = true})
  local go = process.listen("go")
  local lock, err = workflow.lock(key, options)
  if not lock then return err:kind() end
  workflow.shielded(function() go:receive() end)
  lock:release()
  return "released"
end
"""

GIVE_UP = """
local workflow = require("workflow")
local function main(key, options)
  process.set_options({interrupt_on_cancel = true})
  local _, err = workflow.lock(key, options)
  workflow.shielded(function() process.listen("go"):receive() end)
  return err:kind()
end
"""


async def hold(engine: Engine, **options: Any) -> Handle:
    """A run that has the lock ``k``."""
    handle = await engine.start("take", "k", options)
    await engine.until(handle, "LockGranted")
    return handle


async def wait(engine: Engine, **options: Any) -> Handle:
    """A run that stands in the line for it, as far as it knows."""
    handle = await engine.start("take", "k", options)
    await engine.until(handle, "LockRequested")
    await in_line(engine, handle)
    return handle


async def in_line(engine: Engine, handle: Handle) -> None:
    """See to it that the entity knows of the request."""
    sender, receiver = engine.store.partition(handle.workflow_id), engine.store.partition("k")
    done = await drain_outbox(engine.store, sender.number, receiver.number)
    assert done.left == 0


async def waits(handle: Handle) -> bool:
    """Whether the entity has it in the line."""
    (lock,) = (await handle.describe())["locks"]
    return bool(lock["state"] == "waiting")


async def finish(engine: Engine, handle: Handle) -> None:
    """Let a holder release it and end."""
    await engine.until(handle, "LockGranted")
    await handle.signal("go")
    assert await within(handle.result()) == "released"


async def ready(engine: Engine) -> None:
    """Deploy and start a worker and a scheduler."""
    await engine.deploy({"take": TAKE, "give_up": GIVE_UP})
    await engine.worker()
    await engine.scheduler()


async def _nothing(*_: Any, **__: Any) -> list[Any]:
    return []


def unhealed(violation: Violation) -> Violation:
    """The violation where no scheduler looks for lost requests: it would make up for this one."""
    return Violation(violation.name, violation, replaced(LostRequests, "find", _nothing))


@proves(
    mutant("deliver_lock", "holding < limit and waiting == 0", "true"),
    unhealed(mutant("deliver_unlock", "post(declared[receiver], receiver, yes)", "local _ = yes")),
    unhealed(
        mutant(
            "includes/outbox_operations",
            "ARGV[i + 7])\n    post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6])",
            "ARGV[i + 7])",
        )
    ),
)
async def test_a_lock_goes_from_one_to_the_next(engine: Engine) -> None:
    """One has it; who asked second gets it when the first gives it back."""
    await ready(engine)
    one = await hold(engine)
    two = await wait(engine)
    assert await waits(two)
    await finish(engine, one)
    await finish(engine, two)


@proves(
    mutant(
        "deliver_lock",
        "rcall('ZADD', line_key, ticket, member)",
        "rcall('ZADD', line_key, -ticket, member)",
    )
)
async def test_the_line_is_in_order(engine: Engine) -> None:
    """First come, first served."""
    await ready(engine)
    one = await hold(engine)
    line = [await wait(engine) for _ in range(3)]
    runs = [one, *line]
    while runs:
        await finish(engine, runs.pop(0))
        for later in runs[1:]:
            assert await waits(later)


@proves(mutant("deliver_lock", "holding < limit and", "holding < 1 and"))
async def test_as_many_as_the_limit_have_it(engine: Engine) -> None:
    """With limit 2 it is a semaphore."""
    await ready(engine)
    runs = [await hold(engine, limit=2) for _ in range(2)]
    third = await wait(engine, limit=2)
    assert await waits(third)
    for run in (*runs, third):
        await finish(engine, run)


ENDS = ("terminate", "timeout", "fail", "continue")
ENDING = {
    "terminate": "go:receive()",
    "timeout": "go:receive()",
    "fail": 'error("broken")',
    "continue": "if again then return 1 end workflow.continue_as_new(key, true)",
}


@pytest.mark.parametrize("how", ENDS)
async def test_whoever_ends_keeps_no_lock(engine: Engine, how: str) -> None:
    """Terminated, out of time, failed, continued as new: the next in line gets it."""
    code = f"""
    local workflow = require("workflow")
    local function main(key, again)
      local go = process.listen("go")
      if not again then workflow.lock(key) end
      {ENDING[how]}
    end"""
    await engine.deploy({"take": TAKE, "ends": code})
    await engine.worker()
    await engine.scheduler()
    options = {"workflow.run_timeout": 300} if how == "timeout" else {}
    one = await engine.start("ends", "k", options=options)
    await engine.until(one, "LockGranted")
    two = await wait(engine)
    if how == "terminate":
        await one.terminate()
    await finish(engine, two)


@proves(
    replaced(closing, "give_back", lambda _key, _member: None),
    mutant("deliver_unlock", "rcall('ZREM', line_key, member)", "0"),
)
async def test_a_terminated_run_leaves_the_line_and_the_lock(engine: Engine) -> None:
    """Neither who has it nor who waits for it is in anybody's way after its end."""
    await ready(engine)
    one, two, three = await hold(engine), await wait(engine), await wait(engine)
    await two.terminate()
    await one.terminate()
    await finish(engine, three)


@proves(kernel_mutant("modules/lock", "    give_back(run, lock)\n    S.wake", "    S.wake"))
async def test_a_timeout_gives_the_place_back(engine: Engine) -> None:
    """Who gives up is out of the line; a grant that comes too late goes to the next."""
    await ready(engine)
    one = await hold(engine)
    two = await engine.start("give_up", "k", {"timeout": "50ms"})
    await engine.until(two, "TimerFired")
    three = await wait(engine)
    await finish(engine, one)
    await finish(engine, three)
    await two.signal("go")
    assert await within(two.result()) == "Timeout"


async def test_no_timeout_at_all_is_a_try(engine: Engine) -> None:
    """With a timeout of 0 nobody stands in line: the answer comes at once."""
    await ready(engine)
    one = await hold(engine)
    two = await engine.start("take", "k", {"timeout": 0})
    assert await within(two.result()) == "Timeout"
    assert "TimerStarted" not in await engine.types(two)
    await finish(engine, one)


@proves(kernel_mutant("modules/lock", "  give_back(run, task.lock)\n", ""))
async def test_cancellation_gives_the_place_back(engine: Engine) -> None:
    """A wait that is interrupted leaves the line."""
    await ready(engine)
    one, two = await hold(engine), await engine.start("give_up", "k")
    await engine.until(two, "LockRequested")
    await in_line(engine, two)
    three = await wait(engine)
    await two.cancel()
    await engine.until(two, "LockReleased")
    await finish(engine, one)
    await finish(engine, three)
    await two.signal("go")
    assert await within(two.result()) == "Canceled"


async def test_a_killed_worker_takes_no_lock_with_it(make_engine: Make) -> None:
    """The lock is the run's: it goes on elsewhere, and still has it."""
    engine = await make_engine(lease_ms=300, sticky_timeout_ms=300)
    await engine.deploy({"take": TAKE})
    first = await engine.worker()
    await engine.scheduler()
    one, two = await hold(engine), await wait(engine)
    await engine.kill(first)
    await engine.worker()
    assert await waits(two)
    await finish(engine, one)
    await finish(engine, two)


@proves(mutant("deliver_unlock", "if holding >= tonumber(limit) then break end", ""))
async def test_many_runs_on_many_workers_are_alone_with_it(engine: Engine) -> None:
    """Thirty runs of two workers want the same lock at once, twice each: nobody meets another."""
    code = """
    local workflow, funcs = require("workflow"), require("funcs")
    local function main(name)
      local most = 0
      for i = 1, 2 do
        local lock = workflow.lock("k")
        local there, err = funcs.call("app:alone", name)
        if err then return nil, err end
        most = there > most and there or most
        lock:release()
      end
      return most
    end"""
    gates.reset()
    await engine.deploy({"crowd": code}, python={"alone": "tests.protocol.gates:alone"})
    await engine.worker()
    await engine.worker()
    await engine.scheduler()
    runs = [await engine.start("crowd", f"run-{n}") for n in range(30)]
    assert {await within(run.result()) for run in runs} == {1}


async def test_one_partition_is_enough(make_engine: Make) -> None:
    """Who asks, who answers and who is next may all be in the same one."""
    engine = await make_engine(partitions=1)
    await ready(engine)
    runs = [await hold(engine), await wait(engine), await wait(engine)]
    for run in runs:
        await finish(engine, run)


@proves(mutant("deliver_unlock", "rcall('HINCRBY', meta_key, 'waiting', -1)", "local _ = 1"))
async def test_describe_shows_what_a_run_has_and_waits_for(engine: Engine) -> None:
    """Whoever wonders why a run stands still sees it."""
    await ready(engine)
    one, two, three = await hold(engine), await wait(engine), await wait(engine)
    assert (await one.describe())["locks"] == [{"key": "k", "state": "held"}]
    assert (await two.describe())["locks"] == [{"key": "k", "state": "waiting", "before": 0}]
    assert (await three.describe())["locks"] == [{"key": "k", "state": "waiting", "before": 1}]
    assert await waiting(engine) == 2
    for run in (one, two, three):
        await finish(engine, run)
    await engine.settle()
    assert await waiting(engine) == 0


async def waiting(engine: Engine) -> float:
    """The gauge of runs that wait, read from the server now."""
    gauges = engine.schedulers[0]._gauges
    await gauges._sample()
    (found,) = [m for m in gauges.collect() if m.name == "luaflow_lock_waiting_runs"]
    return float(found.samples[0].value)


async def test_a_lock_that_is_broken_is_answered_and_stops_nobody(engine: Engine) -> None:
    """A key of a wrong type: the request is refused, and those behind it go on."""
    engine.excused = True
    p = engine.store.partition("k")
    await engine.store.read(("SET", p.line("k"), "broken"))
    await ready(engine)
    one = await engine.start("take", "k")
    assert await within(one.result()) == "Internal"
    other = await engine.start("take", "other")
    await finish(engine, other)


async def answers(hand: Hand) -> list[str]:
    """Whom partition 5 has answered, in order."""
    key = hand.store.partitions[5].outbox(3)
    (entries,) = await hand.store.read(("XRANGE", key, "-", "+"))
    return [fields[3].decode().split('"run_id":"')[1][0] for _, fields in entries]


@proves(mutant("deliver_lock", "if known then", "if false then"))
async def test_a_repeated_request_is_granted_once(hand: Hand) -> None:
    """After a fail-over the same request may come under another number: it has its lock."""
    hand.excused = True
    p = hand.store.partitions[5]
    for number in (1, 2):
        await hand.store.one(brings(hand, number, asks("a")))
    assert await hand.store.read(("ZCARD", p.held("k")), ("ZCARD", p.line("k"))) == [1, 0]


@proves(
    mutant(
        "includes/arrival", "if sender_epoch == e and number <= n then return 'duplicate' end", ""
    )
)
async def test_a_message_that_comes_twice_counts_once(hand: Hand) -> None:
    """What was given back is not given back again: a later holder keeps it."""
    hand.excused = True
    for number, mail in enumerate((asks("a"), gives_back("a"), asks("a")), 1):
        await hand.store.one(brings(hand, number, mail))
    for number, mail in ((2, gives_back("a")), (1, asks("a"))):
        assert (await hand.store.one(brings(hand, number, mail)))[0] == b"duplicate"
    await hand.store.one(brings(hand, 4, asks("b")))
    assert await answers(hand) == ["a", "a"]


@proves(mutant("deliver_unlock", "      post(own_key, here, again)\n", ""))
async def test_a_head_that_was_not_foreseen_is_looked_at_again(hand: Hand) -> None:
    """Where the line moved since it was read, the partition tells itself to look again."""
    hand.excused = True
    for number, run in ((1, "a"), (2, "b")):
        await hand.store.one(brings(hand, number, asks(run)))
    answer = await hand.store.one(brings(hand, 3, gives_back("a"), Line()))
    assert answer == [b"ok", b"5"]
    assert await hand.outbox(5, 5)
