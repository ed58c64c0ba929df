"""Long histories, and runs that never stop computing: nobody else waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from tests.support.engine import Engine, within
from tests.support.mutants import proves, replaced
from tools.long_history import measure

from luaflow.domain.events import Event
from luaflow.replay.decider import Execution
from luaflow.store import past
from luaflow_worker import lengths, live, stretches, taking
from luaflow_worker.lengths import LONG
from luaflow_worker.live import Cache, Live
from luaflow_worker.quarantine import Quarantine
from luaflow_worker.steps import Step

SUMS = """
local function main()
  local inbox, sum = process.inbox(), 0
  while true do
    local m = inbox:receive()
    if m:topic() == "end" then return sum end
    sum = sum + m:payload():data()
    if sum % 3 == 0 then require("funcs").call("app:note", sum) end
  end
end
"""
NOTE = "local function main(n) return n end"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and stretches of a few events."""
    monkeypatch.setattr(past, "PAGE", 7)
    monkeypatch.setattr(stretches, "PART", 3)
    monkeypatch.setattr(taking, "LONG_REPLAY", 20)


async def _whole(
    store: Any, route: Any, events: Sequence[Event], last: int
) -> AsyncIterator[Sequence[Event]]:
    """All at once, and nobody else gets a turn."""
    yield await stretches.read_events(store, route, 1, last)


async def _anywhere(
    store: Any, route: Any, events: Sequence[Event], last: int
) -> AsyncIterator[Sequence[Event]]:
    """Cut between a decision and what it asked for."""
    every = await stretches.read_events(store, route, 1, last)
    for i in range(0, len(every), 3):
        yield every[i : i + 3]
        await asyncio.sleep(0)


@pytest.mark.usefixtures("small")
@proves(
    replaced(taking, "stretches", _whole),
    replaced(taking, "stretches", _anywhere),
)
async def test_a_long_replay_gives_others_their_turn(engine: Engine) -> None:
    """A run is rebuilt stretch by stretch, the loop turns in between, and it goes on as it was."""
    await engine.deploy({"sums": SUMS}, activities={"note": NOTE})
    first = await engine.worker(cache=0)
    handle = await engine.start("sums")
    for n in range(30):
        await handle.signal("add", n)
    await within(idle(engine, handle))
    await engine.retire(first)
    replayed: list[tuple[int, int]] = []
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def note(execution: Execution, events: Sequence[Event]) -> None:
        replayed.append((turns, len(events)))
        replay(execution, events)

    replay, counting = Execution.replay, asyncio.create_task(count())
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Execution, "replay", note)
            await engine.worker()
            await handle.signal("end")
            assert await within(handle.result()) == sum(range(30))
    finally:
        counting.cancel()
    sizes = [size for _, size in replayed]
    length = (await handle.describe())["history_length"]
    assert len(sizes) > 5
    assert sum(sizes) >= length - 10
    assert len({at for at, _ in replayed}) == len(replayed)  # it turned before each of them


async def idle(engine: Engine, handle: Any) -> None:
    """Wait until the code has seen all there is."""
    while True:
        p = engine.store.partition(handle.workflow_id)
        # (together: an activity that ends between two reads is in neither)
        found, waits = await engine.store.read(
            ("HMGET", p.run(handle.run_id), "task", "news"), ("HLEN", p.pend(handle.run_id))
        )
        if (*found, waits) == (b"", b"0", 0):
            return
        await asyncio.sleep(0.01)  # nobody tells when a run waits


def kept(name: str, length: int) -> Any:
    """A run in memory that nobody works on."""
    place = SimpleNamespace(route=SimpleNamespace(run_id=name))
    return Live(place, Mock(), Mock(), length=length)  # type: ignore[arg-type]


@proves(replaced(Cache, "_may_leave", lambda *_: True))
async def test_long_runs_stay_in_the_cache_for_longer() -> None:
    """What would cost a long replay is passed over, but not for ever."""
    gone: list[str] = []
    cache = Cache(3, lambda one: gone.append(one.run_id))
    cache.put(kept("long", 2 * LONG))
    for n in range(7):
        cache.put(kept(str(n), 10))
    assert "long" not in gone
    assert gone[:2] == ["0", "1"]
    for n in range(9):
        cache.put(kept(f"later {n}", 10))
    assert "long" in gone
    assert len(cache) == 3


STEPS = """
local function main(n)
  for i = 1, n do require("funcs").call("app:note", i) end
  return n
end
"""


async def test_a_long_run_takes_no_fused_steps(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From so many events on a refusal would cost a replay: its results take the plain way."""
    monkeypatch.setattr(live, "LONG", 30)
    await engine.deploy({"steps": STEPS}, activities={"note": NOTE})
    await engine.worker()
    kinds: list[str] = []
    for worker in engine.workers:
        monkeypatch.setattr(worker.metrics, "commit", lambda kind, _: kinds.append(kind))
    assert await engine.execute("steps", 20) == 20
    assert "fused" in kinds[:9]
    assert kinds[-5:] == ["plain"] * 5


def test_lengths_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """From 10,000 events on a replay is logged, from 50,000 on as a warning, with the remedy."""
    caplog.set_level("INFO", logger="luaflow_worker.lengths")
    route: Any = SimpleNamespace(workflow_id="w", run_id="r")
    for events in (9_999, 10_000, 50_000):
        lengths.tell_of_length(route, events, 1.0)
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING"]
    assert "workflow.continue_as_new" in caplog.text


# -- suspects --------------------------------------------------------------------------------------

LOOP = "local function main() while true do end end"
FINE = "local function main() return require('funcs').call('app:note', 'fine') end"


@proves(replaced(Quarantine, "suspects", lambda *_: False))
async def test_suspects_are_decided_apart(engine: Engine) -> None:
    """A run that used up its budget, and new ones of its type, have a thread; others have not."""
    where: dict[str, list[str]] = {}
    decide = Step.decide

    def note(step: Step, **how: Any) -> None:
        name = threading.current_thread().name.split("_")[0]
        where.setdefault(step.live.place.type, []).append(name)
        decide(step, **how)

    sources = {"loop": LOOP, "fine": FINE}
    await engine.deploy(
        sources, activities={"note": NOTE}, worker={"deadlock_detection_timeout": "50ms"}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "decide", note)
        await engine.worker()
        first = await engine.start("loop")
        await within(fails(engine, first))
        others = [await engine.start("loop") for _ in range(3)]
        assert await engine.execute("fine") == "fine"
        for one in others:
            await within(fails(engine, one))
    assert where["app:loop"] == ["MainThread", *["luaflow-quarantine"] * 3]
    assert set(where["app:fine"]) == {"MainThread"}


async def fails(engine: Engine, handle: Any) -> None:
    """Wait until a task of the run has failed."""
    while "fails" not in await engine.fields(handle):  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0.01)


async def test_a_suspect_that_is_well_again_goes_on(engine: Engine) -> None:
    """Healed, it is decided apart once more, activities and all, and then like any other."""
    await engine.deploy({"fine": FINE, "steps": STEPS}, activities={"note": NOTE})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Quarantine, "suspects", lambda _, task: task.cached is None)
        await engine.worker()
        assert await engine.execute("fine") == "fine"
        assert await engine.execute("steps", 5) == 5


@pytest.mark.heavy
async def test_a_history_of_200_000_events(tmp_path: Path) -> None:
    """It is taken, replayed, asked, shown, decided and continued; nothing stands still for long."""
    found = await measure(tmp_path, 200_000)
    assert found["events"] >= 200_000
    assert found["shown"] == found["events"]
    assert found["take_and_replay_stall_s"] < 1
    assert found["query_stall_s"] < 1
    assert found["take_and_replay_s"] < 60
    assert found["after_replay_mb"] - found["before_mb"] < 200
    assert max(found["describe_s"], found["next_decision_s"], found["continue_and_end_s"]) < 2
