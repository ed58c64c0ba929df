"""Rate limits over the whole namespace: of queues, of activities, of workflow starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from tests.protocol import gates
from tests.protocol.hand import Hand
from tests.support.engine import Engine, within
from tests.support.mutants import mutant, proves, replaced

from luaflow.store.gates import reserve
from luaflow_worker import limits

MANY = """
local funcs = require("funcs")
local function main(id, n, list)
  local names = {}
  for i = 1, n do names[i] = (list or {})[i] or "x" end
  local results, err = funcs.map(id, names)
  if err then return nil, err end
  return #results
end
"""
ACTIVITY = "app:stamp"


async def ready(
    engine: Engine,
    *,
    workflows: Mapping[str, str] | None = None,
    entries: Mapping[str, Mapping[str, Any]] | None = None,
    options: Mapping[str, Any] | None = None,
    workers: int = 2,
) -> None:
    """Deploy entries with flow-control keys; workers and a scheduler."""
    gates.reset()
    python = {"stamp": "tests.protocol.gates:stamp"}
    engine._write(workflows or {"many": MANY}, {}, python, (), options or {})
    index = engine.folder / "_index.json"
    tree = orjson.loads(index.read_bytes())
    for entry in tree["entries"]:
        entry.update((entries or {}).get(entry["name"], {}))
    index.write_bytes(orjson.dumps(tree))
    await engine.deploy()
    for _ in range(workers):
        await engine.worker()
    await engine.scheduler()


def obeys(stamps: Sequence[float], began: float, burst: int, step: float) -> bool:
    """Whether there were never more starts than the burst, and one more each ``step`` seconds."""
    return all(n <= burst + (at - began) / step + 1 for n, at in enumerate(sorted(stamps), 1))


@proves(mutant("reserve", "math.floor((at + limit * step - due) / step)", "want"))
async def test_an_activity_starts_no_more_often_than_its_limit(engine: Engine) -> None:
    """Two workers together obey it: the burst, then one each per / limit; all of them run."""
    await ready(engine, entries={"stamp": {"rate_limit": {"limit": 5, "per": "500ms"}}})
    began = time.monotonic()
    run = await engine.start("many", ACTIVITY, 15)
    assert await within(run.result()) == 15
    assert len(gates.stamps) == 15
    assert obeys(gates.stamps, began, 5, 0.1), gates.stamps
    assert gates.stamps[-1] - began >= 0.9


async def test_a_queue_starts_no_more_than_its_rate(engine: Engine) -> None:
    """`task_queue_activities_per_second` is one limit for all workers of the queue."""
    await ready(engine, options={"task_queue_activities_per_second": 10})
    began = time.monotonic()
    run = await engine.start("many", ACTIVITY, 20)
    assert await within(run.result()) == 20
    assert obeys(gates.stamps, began, 10, 0.1), gates.stamps
    assert gates.stamps[-1] - began >= 0.9


async def test_each_value_of_the_key_has_a_rate_of_its_own(engine: Engine) -> None:
    """What one customer uses up, another one has."""
    entries = {"stamp": {"rate_limit": {"limit": 2, "per": "1h", "key": "input"}}}
    await ready(engine, entries=entries)
    run = await engine.start("many", ACTIVITY, 4, ["a", "b", "a", "b"])
    assert await within(run.result()) == 4


@proves(mutant("take_activity", "a.s2c, a.hb, p[5],", "a.s2c, a.hb, false,"))
async def test_a_reserved_moment_is_asked_for_once(
    engine: Engine, asked: list[tuple[Any, ...]]
) -> None:
    """An activity that was put off runs when it comes back: it has paid, and nobody spins."""
    entries = {"stamp": {"rate_limit": {"limit": 2, "per": "600ms"}}}
    await ready(engine, entries=entries, workers=1)
    run = await engine.start("many", ACTIVITY, 6)
    assert await within(run.result()) == 6
    assert len(asked) <= 6


@proves(replaced(limits, "KEPT_SECONDS", 0.0))
async def test_a_worker_asks_for_many_starts_at_once(
    engine: Engine, asked: list[tuple[Any, ...]]
) -> None:
    """Where a tenth of a second is worth many starts, one question is enough for all of them."""
    await ready(engine, options={"task_queue_activities_per_second": 5000}, workers=1)
    run = await engine.start("many", ACTIVITY, 100)
    assert await within(run.result()) == 100
    assert len(asked) < 20


@proves(mutant("wake_run", "g = 'gated'", "g = 'delayed'"))
async def test_workflow_starts_obey_their_limit(engine: Engine) -> None:
    """The run is open at once; its first task waits for its moment, whatever messages come."""
    hello = 'local function main() return "hello" end'
    entries = {"hello": {"rate_limit": {"limit": 2, "per": "400ms"}}}
    await ready(engine, workflows={"hello": hello}, entries=entries)
    began = time.monotonic()
    runs = [await engine.start("hello") for _ in range(6)]
    await runs[-1].signal("hurry")
    assert (await engine.fields(runs[-1]))["task"] == "gated"
    for run in runs:
        assert await within(run.result()) == "hello"
    assert time.monotonic() - began >= 0.7


async def test_children_and_slots_obey_it_too(engine: Engine) -> None:
    """A limited child waits in its own partition; a slot that is granted still obeys the rate."""
    parent = """
    local function main(n)
      for i = 1, n do
        local _, err = process.exec("app:hello", "app:worker")
        if err then return nil, err end
      end
      return "all"
    end"""
    hello = 'local function main() return "hello" end'
    entries = {"hello": {"rate_limit": {"limit": 1, "per": "200ms"}, "concurrency": 1}}
    await ready(engine, workflows={"hello": hello, "parent": parent}, entries=entries)
    began = time.monotonic()
    run = await engine.start("parent", 4)
    assert await within(run.result()) == "all"
    assert time.monotonic() - began >= 0.6


RATE = {"key": "k", "limit": 3, "per_ms": 300}


async def test_moments_are_given_away_one_by_one(hand: Hand) -> None:
    """A burst of `limit`, then one each per / limit; a pause fills it up, never beyond."""
    hand.excused = True
    assert await reserve(hand.store, RATE, 2) == (2, 0)
    assert await reserve(hand.store, RATE, 2) == (1, 0)
    assert await reserve(hand.store, RATE, 5) == (0, 100)
    assert await reserve(hand.store, RATE) == (0, 200)
    await hand.shift(200)
    assert await reserve(hand.store, RATE) == (0, 100)
    await hand.shift(100_000)
    assert await reserve(hand.store, RATE, 9) == (3, 0)


@pytest.mark.parametrize(
    ("moment", "passes"),
    [(None, False), (b"1|5000", False), (b"2|5000", True), (b"2|4000", True), (b"2|3999", False)],
)
def test_a_moment_is_for_one_attempt_and_does_not_last(moment: bytes | None, passes: bool) -> None:
    """Another attempt asks anew, and so does one that comes a second too late."""
    assert limits.has_moment(moment, 2, 5000) is passes


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 1000])
def test_a_rate_a_second_is_a_limit_in_a_while(rate: float) -> None:
    """Whole numbers that mean the same."""
    found = limits.per_second(rate)
    assert found.limit / found.per_ms * 1000 == pytest.approx(rate, rel=0.01)
