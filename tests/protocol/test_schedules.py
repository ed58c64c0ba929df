"""Schedules: each time once, never early, none lost; what overlaps goes by its policy."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.protocol.scenes import dump, fail_over
from tests.support.clock import shift
from tests.support.engine import Engine, Make, within
from tests.support.mutants import mutant, proves, replaced

from luaflow.client.handle import Handle
from luaflow.client.schedules import ScheduleHandle
from luaflow.domain import schedules as rules
from luaflow.domain.schedules import State, time_text
from luaflow.errors import AlreadyExists, InvalidArgument, NotFound, Refused
from luaflow.store import deployed, upkeep
from luaflow.store.courier import Courier
from luaflow.store.schedules import Schedule, find_schedules
from luaflow_scheduler import schedules as firing
from luaflow_scheduler.dates import Date
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.partition import PartitionWatch
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.schedules import Schedules
from luaflow_scheduler.settling import Settling

MINUTE = 60_000
BEGIN = 1_000_000_020_000
"""The first full minute of a simulated namespace, 20 s after its clock begins."""
TURN = """
local function main()
  return process.inbox():receive():topic()
end
"""
APP = """
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "redis://localhost:6379"}
  - {name: worker, kind: temporal.worker, client: client, task_queue: q}
  - name: turn
    kind: workflow.lua
    modules: [ctx]
    meta: {temporal: {workflow: {worker: worker}}}
    source: |
      local ctx = require("ctx")
      return function()
        process.inbox():receive()
        return ctx.get("scheduled_by") .. " at " .. ctx.get("scheduled_at")
      end
"""


class Played:
    """A simulated namespace whose scheduler is this test: it looks when it is told to."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.registry = CollectorRegistry()
        metrics = SchedulerMetrics(self.registry)
        store = engine.store
        self.courier = Courier(store)
        self.hands = [Schedules(store, self.courier, metrics) for _ in range(2)]
        settling = Settling(store, metrics, Retention(store))
        self._watches = [
            PartitionWatch(store, p, self.courier, metrics, settling) for p in store.partitions
        ]

    async def create(self, **words: Any) -> ScheduleHandle:
        """Make the schedule ``s``: every minute unless it is said otherwise."""
        words = {"interval": "1m", **words}
        return await self.engine.client.create_schedule("s", "app:turn", **words)

    async def look(self, ms: int = 0) -> None:
        """Let time pass, then do all that is due, as a scheduler would."""
        if ms:
            await self.engine.shift(ms)
        busy = True
        while busy:
            await self.courier.settle()
            await self.engine.settle()
            busy = any([await watch.look() == 0 for watch in self._watches])

    async def read(self) -> Schedule:
        """The schedule as it is stored."""
        (found,) = await find_schedules(self.engine.store, ["s"])
        assert found
        return found

    async def date(self) -> Date:
        """The date of the schedule."""
        p = (await self.read()).partition
        (score,) = await self.engine.store.read(("ZSCORE", p.timers, "S|s"))
        return Date(p.timers, "S|s", bytes(score).decode())

    async def runs(self) -> list[str]:
        """What there is of runs: the minute each was for, and its status, in order."""
        found = (await self.engine.client.list(limit=100))["workflows"]
        begin = len("s-2001-09-09T01:")
        return sorted(f"{run['workflow_id'][begin:]} {run['status']}" for run in found)

    def run(self, at: int) -> Handle:
        """The run for a time."""
        return self.engine.client.get_handle(f"s-{time_text(at)}")

    async def close(self) -> None:
        """Carry nothing any more."""
        await self.courier.close()


@pytest.fixture
async def played(make_engine: Make) -> AsyncIterator[Played]:
    """A deployed workflow, no worker, and a scheduler that is played."""
    engine = await make_engine(simulated=True)
    await engine.deploy({"turn": TURN})
    one = Played(engine)
    yield one
    await one.close()


@proves(
    mutant("change_schedule", "if latest > now then", "if false then"),
    mutant("change_schedule", "for i = messages, #ARGV, 3", "for i = messages, 0, 3"),
)
async def test_it_fires_at_its_time_and_never_early(played: Played) -> None:
    """Not even a scheduler whose idea of the time is wrong can make it."""
    handle = await played.create()
    assert (await handle.describe())["next_times"][0] == "2001-09-09T01:47:00Z"
    await played.look(19_999)
    assert await played.runs() == []
    await played.hands[0].fire([await played.date()], BEGIN + MINUTE)
    assert (await played.read()).state.actions == 0
    await played.look(1)
    assert await played.runs() == ["47:00Z running"]
    await played.look()
    assert await played.runs() == ["47:00Z running"]


@proves(mutant("change_schedule", "if version ~= old then", "if false then"))
async def test_two_schedulers_fire_once(played: Played) -> None:
    """Both read the schedule before either writes: one step counts, the other sees that it does."""
    await played.create()
    await played.engine.shift(20_000)
    date = await played.date()
    await asyncio.gather(*(hand.fire([date], BEGIN) for hand in played.hands))
    await played.courier.settle()
    await played.look()
    state = (await played.read()).state
    assert (state.actions, len(state.running)) == (1, 1)
    assert await played.runs() == ["47:00Z running"]
    counted = played.registry.get_sample_value("luaflow_schedule_actions_total")
    assert counted == 1


async def _dead(*_: Any) -> None:
    raise asyncio.CancelledError


async def test_a_scheduler_that_dies_in_between_loses_nothing(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the script nothing has happened; after it the start is in the outbox."""
    await played.create()
    await played.engine.shift(20_000)
    date = await played.date()
    with monkeypatch.context() as patch:
        patch.setattr(Schedules, "_made", _dead)
        with pytest.raises(asyncio.CancelledError):
            await played.hands[0].fire([date], BEGIN)
    assert (await played.read()).state.actions == 0
    with monkeypatch.context() as patch:
        patch.setattr(Courier, "tell", lambda *_: None)
        await played.hands[0].fire([await played.date()], BEGIN)
    assert (await played.read()).state.actions == 1
    await played.look()
    assert await played.runs() == ["47:00Z running"]


@proves(mutant("deliver_start", "reuse == 'reject_duplicate'", "reuse == 'none'"))
async def test_a_time_forgotten_in_a_fail_over_starts_nothing_again(played: Played) -> None:
    """The schedule's partition goes back to before it fired; the run that closed stays the one."""
    await played.create()
    p = (await played.read()).partition
    before = await dump(played.engine)  # type: ignore[arg-type]
    await played.look(20_000)
    await played.run(BEGIN).terminate()
    await played.look()
    run = await played.run(BEGIN).describe()
    assert p.number != played.engine.store.partition(run["workflow_id"]).number
    await fail_over(played.engine, before, "another", prefix=p.prefix)  # type: ignore[arg-type]
    assert (await played.read()).state.actions == 0
    await played.engine.shift(20_000)
    await played.look()
    assert (await played.run(BEGIN).describe())["run_id"] == run["run_id"]
    state = (await played.read()).state
    assert state.running == []
    assert "exists already" in state.recent[0]["message"]


async def _none(*_: Any) -> list[tuple[int, str]]:
    return []


@proves(replaced(firing, "lost_runs", _none))
async def test_a_run_lost_in_a_fail_over_is_not_waited_for(played: Played) -> None:
    """Its partition goes back to before it began: the schedule looks, and goes on."""
    await played.create()
    before = await dump(played.engine)  # type: ignore[arg-type]
    await played.look(20_000)
    p = played.engine.store.partition(f"s-{time_text(BEGIN)}")
    assert p.number != (await played.read()).partition.number
    await fail_over(played.engine, before, "another", prefix=p.prefix)  # type: ignore[arg-type]
    await shift(played.engine.store, 20_000, [p])
    await played.look(MINUTE)
    assert await played.runs() == ["48:00Z running"]
    assert (await played.read()).state.recent[0]["status"] == "lost"


async def test_starts_wait_while_memory_is_short(played: Played) -> None:
    """As those of clients, who are refused; nothing is lost by that."""
    await played.create()
    p = (await played.read()).partition
    await played.engine.store.run(upkeep.head_room(partition=p, percent=90))
    await played.look(20_000)
    assert (await played.read()).state.actions == 0
    await played.engine.store.run(upkeep.head_room(partition=p, percent=10))
    await played.look(MINUTE)
    assert await played.runs() == ["47:00Z running"]


def _forgetful(name: str, plan: Any, state: State, now: int) -> int:
    """Goes on from now, as if nothing had been due before."""
    state.aim(name, plan, now)
    return 0


@proves(replaced(rules, "pass_times", _forgetful))
async def test_after_an_outage_each_time_is_made_up_for(played: Played) -> None:
    """In order; those behind the catch-up window are missed, and counted."""
    await played.create(overlap="allow_all", catchup_window="150s")
    await played.look(20_000 + 9 * MINUTE)
    assert await played.runs() == [f"{m}:00Z running" for m in (54, 55, 56)]
    state = (await played.read()).state
    assert (state.missed, state.next) == (7, BEGIN + 10 * MINUTE)
    assert played.registry.get_sample_value("luaflow_schedule_missed_total") == 7


async def test_a_long_outage_is_done_in_slices(played: Played) -> None:
    """More times than one step takes; a year of seconds is not walked through one by one."""
    await played.create(interval="1s", overlap="skip")
    await played.look(250_000)
    state = (await played.read()).state
    assert (state.actions, state.skipped) == (1, 249)
    await played.engine.client.get_schedule("s").update(catchup_window="10s")
    await played.look(86_400_000 * 100)
    found = (await played.read()).state
    assert found.missed >= 1000
    assert found.skipped in range(259, 262)


def _all(self: Any, one: list[Any]) -> None:
    self._start(one[0], one[2])


ALL = replaced(rules._Judge, "_one", _all)


@pytest.mark.parametrize(
    ("overlap", "meanwhile", "afterwards"),
    [
        ("skip", ["47:00Z running"], ["47:00Z terminated"]),
        ("buffer_one", ["47:00Z running"], ["47:00Z terminated", "48:00Z running"]),
        ("buffer_all", ["47:00Z running"], ["47:00Z terminated", "48:00Z running"]),
        (
            "terminate_other",
            ["47:00Z terminated", "48:00Z terminated", "49:00Z running"],
            ["47:00Z terminated", "48:00Z terminated", "49:00Z running"],
        ),
    ],
)
@proves(ALL)
async def test_overlap(
    played: Played, overlap: str, meanwhile: list[str], afterwards: list[str]
) -> None:
    """What becomes of a time whose predecessor still runs, and when that has ended."""
    await played.create(overlap=overlap)
    for ms in (20_000, MINUTE, MINUTE):
        await played.look(ms)
    assert await played.runs() == meanwhile
    if "47:00Z running" in meanwhile:
        await played.run(BEGIN).terminate()
        await played.look()
    assert await played.runs() == afterwards


@proves(replaced(rules._Judge, "_one", lambda *_: None))
async def test_overlap_allowed(played: Played) -> None:
    """Runs side by side, each of which the schedule knows until it ends."""
    await played.create(overlap="allow_all")
    for ms in (20_000, MINUTE, MINUTE):
        await played.look(ms)
    await played.run(BEGIN).terminate()
    await played.look()
    assert await played.runs() == ["47:00Z terminated", "48:00Z running", "49:00Z running"]
    assert [run["number"] for run in (await played.read()).state.running] == [2, 3]


async def test_cancel_other_waits_for_the_end(played: Played) -> None:
    """Each time takes the place of the one that waits; the run is asked once."""
    await played.create(overlap="cancel_other")
    for ms in (20_000, MINUTE, MINUTE):
        await played.look(ms)
    assert await played.runs() == ["47:00Z running"]
    types = await played.engine.types(played.run(BEGIN))
    assert types.count("WorkflowExecutionCancelRequested") == 1
    await played.run(BEGIN).terminate()
    await played.look()
    assert await played.runs() == ["47:00Z terminated", "49:00Z running"]
    assert (await played.read()).state.skipped == 1


@proves(mutant("deliver_to_schedule", "if fresh ~= '' then keep_schedule() end", ""))
async def test_it_hears_of_the_end_of_its_runs(played: Played) -> None:
    """At once, and not when its next time comes; also of one that ran out of time."""
    await played.create(run_timeout="30s")
    await played.look(20_000)
    await played.look(30_000)
    assert (await played.read()).state.running == []
    await played.look(30_000)
    assert await played.runs() == ["47:00Z timed_out", "48:00Z running"]
    (last, first) = (await played.engine.client.get_schedule("s").describe())["recent_actions"]
    assert (first["status"], last["status"]) == ("timed_out", "running")
    assert first["scheduled_at"] == "2001-09-09T01:47:00Z"


async def test_buffer_all_keeps_each_time_in_order(played: Played) -> None:
    """One after the other, as their predecessors end; what no longer fits is counted."""
    await played.create(overlap="buffer_all")
    for ms in (20_000, MINUTE, MINUTE):
        await played.look(ms)
    for n in range(3):
        await played.run(BEGIN + n * MINUTE).terminate()
        await played.look()
    assert await played.runs() == [f"{m}:00Z terminated" for m in (47, 48, 49)]
    await played.engine.client.get_schedule("s").update(interval="1s")
    await played.look(700_000)
    state = (await played.read()).state
    assert len(state.waiting) == rules.MOST_WAITING
    assert state.dropped in range(195, 202)


async def test_pause_leaves_out_what_passes_and_loses_nothing_else(played: Played) -> None:
    """What was due before the pause waits; times within it do not count."""
    handle = await played.create(overlap="buffer_all")
    await played.look(20_000)
    await played.engine.shift(MINUTE)  # due, and no scheduler has looked
    await handle.pause("holidays")
    await played.look(5 * MINUTE)
    found = await handle.describe()
    assert (found["paused"], found["note"], found["next_times"]) == (True, "holidays", [])
    assert await played.runs() == ["47:00Z running"]
    await played.run(BEGIN).terminate()
    await played.look()
    assert await played.runs() == ["47:00Z terminated"]
    await handle.unpause("back")
    await played.look()
    assert await played.runs() == ["47:00Z terminated", "48:00Z running"]
    assert (await handle.describe())["next_times"][0] == "2001-09-09T01:54:00Z"


async def test_pause_on_failure(played: Played) -> None:
    """A run that failed for good stops the schedule, and says why."""
    handle = await played.create(pause_on_failure=True, run_timeout="30s")
    await played.look(20_000)
    await played.look(30_000)
    found = await handle.describe()
    assert found["paused"]
    assert found["note"].startswith("s-2001-09-09T01:47:00Z timed out: ")
    await played.look(MINUTE)
    assert await played.runs() == ["47:00Z timed_out"]


async def test_limited_actions(played: Played) -> None:
    """Two more times, and no date is left behind."""
    handle = await played.create(limited_actions=2, overlap="allow_all")
    assert len((await handle.describe())["next_times"]) == 2
    await played.look(20_000 + 3 * MINUTE)
    assert await played.runs() == ["47:00Z running", "48:00Z running"]
    found = await handle.describe()
    assert (found["remaining_actions"], found["next_times"]) == (0, [])
    p = (await played.read()).partition
    assert await played.engine.store.read(("ZSCORE", p.timers, "S|s")) == [None]
    await handle.update(limited_actions=1)
    await played.look(MINUTE)
    assert len(await played.runs()) == 3


async def test_trigger(played: Played) -> None:
    """At once, also while it is paused; each trigger has an id of its own."""
    handle = await played.create(paused=True)
    await handle.trigger("allow_all")
    await handle.trigger("AllowAll")
    await handle.trigger()
    await played.look()
    assert await played.runs() == ["46:40.001Z running", "46:40Z running"]
    recent = (await handle.describe())["recent_actions"]
    assert [one["manual"] for one in recent] == [True, True]


async def test_backfill(played: Played) -> None:
    """The times of the past, again if they were acted on before; never those to come."""
    handle = await played.create(paused=True)
    begin, end = "2001-09-09T01:00:00Z", "2001-09-09T01:02:00+00:00"
    assert (await handle.backfill(begin, end, "allow_all")) == 3
    await played.look()
    assert await played.runs() == ["00:00Z running", "01:00Z running", "02:00Z running"]
    with pytest.raises(InvalidArgument, match="has passed"):
        await handle.backfill(begin, "2001-09-09T02:00:00Z")
    with pytest.raises(Refused, match="500 times of a schedule may wait"):
        await handle.backfill("2001-09-08T01:00:00Z", end)
    assert (await played.read()).state.waiting == []


async def test_update_keeps_what_runs_and_what_waits(played: Played) -> None:
    """Other times from now on; the rest stays as it was."""
    handle = await played.create(overlap="buffer_all", workflow_id="job", note="first")
    await played.look(20_000)
    await played.look(MINUTE)
    await handle.update(cron="0 3 * * *", timezone="Europe/Berlin")
    found = await handle.describe()
    assert found["spec"] == {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}
    assert found["next_times"][0] == "2001-09-10T01:00:00Z"
    assert (found["overlap"], found["waiting"], found["note"]) == ("buffer_all", 1, "first")
    assert [run["workflow_id"] for run in found["running"]] == ["job-2001-09-09T01:47:00Z"]
    with pytest.raises(InvalidArgument, match="timezone must name"):
        await handle.update(timezone="Mars")
    await handle.delete()
    with pytest.raises(NotFound, match="there is no schedule 's'"):
        await handle.describe()
    await played.engine.client.get_handle("job-2001-09-09T01:47:00Z").terminate()
    await played.look()


async def test_jitter_is_the_same_for_everybody(played: Played) -> None:
    """The moment follows from id and time; the run is named by the time itself."""
    await played.create(jitter="30s")
    digest = hashlib.sha256(f"s\0{BEGIN}".encode()).digest()
    later = int.from_bytes(digest[:8]) % 30_001
    assert (await played.date()).due == BEGIN + later
    await played.look(20_000 + later - 1)
    assert await played.runs() == []
    await played.look(1)
    assert await played.runs() == ["47:00Z running"]


async def test_what_cannot_be_is_refused_with_nothing_written(played: Played) -> None:
    """An unknown workflow, a bad word, an id that is taken."""
    client = played.engine.client
    with pytest.raises(NotFound, match="no workflow type 'app:tun'"):
        await client.create_schedule("x", "app:tun", interval="1m")
    with pytest.raises(InvalidArgument, match="cron must be a cron expression"):
        await client.create_schedule("x", "app:turn", cron="now and then")
    with pytest.raises(InvalidArgument, match="overlap must be one of"):
        await client.create_schedule("x", "app:turn", interval="1m", overlap="never")
    with pytest.raises(InvalidArgument, match=r"workflow\.cron_schedule must not be given"):
        await client.create_schedule("x", "app:turn", interval="1m", cron_schedule="@daily")
    with pytest.raises(InvalidArgument, match="did you mean interval"):
        await client.create_schedule("x", "app:turn", intervall="1m")
    assert await client.list_schedules() == []
    await played.create()
    with pytest.raises(AlreadyExists, match="there is a schedule 's' already"):
        await played.create()


async def test_a_workflow_that_is_not_deployed_waits(
    played: Played, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is not lost: it is acted on when the workflow is there again."""
    monkeypatch.setattr(deployed, "KNOWN_SECONDS", 0)  # (a deploy would wait for that)
    handle = await played.create()
    types = f"lf:{played.engine.store.namespace}:types"
    (before,) = await played.engine.store.read(("HGETALL", types))
    await played.engine.store.read(("DEL", types))
    await played.look(20_000)
    assert "no workflow type 'app:turn'" in (await handle.describe())["problem"]
    assert "the schedule s waits for a minute" in caplog.text
    await played.engine.store.read(("HSET", types, *before))
    await played.look(MINUTE)
    assert await played.runs() == ["47:00Z running"]
    assert (await handle.describe())["problem"] is None


@pytest.mark.parametrize("partitions", [1, 16])
async def test_the_whole_engine(make_engine: Make, partitions: int) -> None:
    """A scheduler and a worker: the run says who started it, to its code and to list."""
    engine = await make_engine(simulated=True, partitions=partitions)
    engine.folder.mkdir()
    (engine.folder / "_index.yaml").write_text(APP)
    await engine.deploy()
    await engine.scheduler()
    await engine.worker()
    handle = await engine.client.create_schedule(
        "s", "app:turn", interval="1m", workflow_id="job", search_attributes={"city": "Rome"}
    )
    await engine.shift(20_000)
    (found,) = await find_schedules(engine.store, ["s"])
    assert found
    workflow_id = f"job-{time_text(BEGIN)}"
    digest = hashlib.sha256(f"{found.state.uid}\0{workflow_id}\0".encode()).hexdigest()
    run = engine.client.get_handle(workflow_id, digest[:32])
    await engine.until(run, "WorkflowExecutionStarted")
    await run.signal("go")
    assert await within(run.result()) == "s at 2001-09-09T01:47:00Z"
    listed = await engine.client.list("scheduled_by = 's' AND city = 'Rome'")
    (one,) = listed["workflows"]
    assert one["search_attributes"]["scheduled_at"] == "2001-09-09T01:47:00Z"
    assert one["parent"] is None
    await engine.shift(1)
    await engine.stop()
    await engine.settle()
    recent = (await handle.describe())["recent_actions"]
    assert [entry["status"] for entry in recent] == ["completed"]


CHAIN = """
local workflow = require("workflow")
local function main(n)
  if n < 3 then workflow.continue_as_new(n + 1) end
  process.inbox():receive()
  error("down")
end
"""


async def test_a_chain_is_one_run_to_its_schedule(make_engine: Make) -> None:
    """Continued as new twice, it runs on; how its last run ended is what the schedule hears."""
    engine = await make_engine(simulated=True)
    await engine.deploy({"chain": CHAIN})
    await engine.worker()
    handle = await engine.client.create_schedule(
        "s", "app:chain", 1, interval="1m", pause_on_failure=True
    )
    played = Played(engine)
    await played.look(20_000)
    first = engine.client.get_handle(f"s-{time_text(BEGIN)}")
    run_id = (await handle.describe())["running"][0]["run_id"]
    for _ in range(2):
        one = engine.client.get_handle(first.workflow_id, run_id)
        await engine.until(one, "WorkflowExecutionContinuedAsNew")
        run_id = (await engine.history(one))[-1].body["new_run_id"]
    await played.look(MINUTE)
    assert len((await handle.describe())["running"]) == 1
    await first.signal("go")
    failed = "WorkflowExecutionFailed"
    await engine.until(engine.client.get_handle(first.workflow_id, run_id), failed)
    await played.look()
    found = await handle.describe()
    assert (found["running"], found["paused"]) == ([], True)
    assert found["note"].startswith(f"{first.workflow_id} failed: ")
    assert "down" in found["recent_actions"][0]["message"]
    await played.close()
