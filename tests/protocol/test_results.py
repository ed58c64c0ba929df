"""What a worker does with results on their way, its slots, local activities (5.4, 5.5, 5.11)."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest
from tests.protocol import gates
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import Violation, mutant, patience, proves, replaced

from luaflow.client.handle import Handle
from luaflow.domain.retry import RetryPolicy
from luaflow.errors import Unknown, WorkflowFailed
from luaflow.store.store import Store
from luaflow_worker import live, local_activities
from luaflow_worker.activity_tasks import ActivityTasks
from luaflow_worker.live import Live, Result
from luaflow_worker.polling import Poller
from luaflow_worker.rate import Rate
from luaflow_worker.renewals import Renewals
from luaflow_worker.steps import Step
from luaflow_worker.workflow_tasks import WorkflowTasks

PYTHON = {
    name: f"tests.protocol.gates:{function}"
    for name, function in (
        ("gate", "gate"),
        ("held", "gate"),
        ("note", "note"),
        ("flaky", "flaky"),
    )
}
LEASE_MS = 600


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


async def begun(name: str) -> None:
    """Wait until the activity that a gate holds has begun."""
    await within(gates.began[name].wait())


async def renewed(engine: Engine, handle: Handle, seq: int, times: int) -> None:
    """Wait until an attempt was renewed so often; it must not end meanwhile."""
    assert handle.run_id
    p, scores = engine.store.partition(handle.workflow_id), set[bytes]()
    async with asyncio.timeout(patience()):
        while len(scores) <= times:
            (score,) = await engine.store.read(("ZSCORE", p.leases, f"a|{handle.run_id}|{seq}"))
            assert score is not None, "the attempt is over"
            scores.add(bytes(score))


# -- results on their way --------------------------------------------------------------------------

MEANWHILE = """
local funcs = require("funcs")
local function main()
  local once = funcs.new():with_options({["activity.retry_policy"] = {maximum_attempts = 1}})
  local future = once:async("app:held", "a")
  process.inbox():receive()
  funcs.call("app:gate", "x")
  future:response():receive()
  local got, err = future:result()
  if err then return "failed: " .. err:message() end
  return "fine"
end
"""


def _kept(self: WorkflowTasks, live: Live, result: Result) -> None:
    live.results.append(result)


@proves(replaced(WorkflowTasks, "_activity_done", _kept))
async def test_a_result_does_not_wait_for_a_local_activity(engine: Engine) -> None:
    """It comes while a decision runs one: the history has it, whatever that takes (5.4)."""
    await engine.deploy({"flow": MEANWHILE}, python=PYTHON, local=("gate",))
    await engine.worker(drain_seconds=0.1)
    handle = await engine.start("flow")
    await begun("a")
    await handle.signal("go")
    await begun("x")
    gates.open_["a"].set()
    await until(engine, handle, "ActivityTaskCompleted")
    gates.open_["x"].set()
    assert await handle.result(timeout=patience()) == "fine"


STEP = """
local funcs = require("funcs")
local function main()
  local once = funcs.new():with_options({["activity.retry_policy"] = {maximum_attempts = 1}})
  return once:call("app:note", "a")
end
"""


@proves(replaced(Renewals, "hold", lambda *_: None))
async def test_a_result_that_waits_for_its_commit_keeps_its_attempt(make_engine: Make) -> None:
    """Other runs of the batch take long: the attempt ended in time, so it is no late one (5.4)."""
    engine = await make_engine(lease_ms=LEASE_MS)
    await engine.deploy({"flow": STEP}, python=PYTHON)
    apart, gate = Store.apart, asyncio.Event()

    async def slow(self: Store, *calls: Any) -> Any:
        if any("fused" in call.args for call in calls):
            await gate.wait()
        return await apart(self, *calls)

    await engine.scheduler()
    with patch.object(Store, "apart", slow):
        await engine.worker(drain_seconds=0.1)
        handle = await engine.start("flow")
        await until(engine, handle, "ActivityTaskScheduled")
        await renewed(engine, handle, 1, 6)
        gate.set()
        assert await handle.result(timeout=patience()) == 1


TICK = """
local funcs = require("funcs")
local function main()
  local future, inbox, n = funcs.async("app:step", 1), process.inbox(), 0
  while not future:is_complete() do
    n = n + 1
    process.send(process.pid(), "tick", n)
    inbox:receive()
  end
  return n > 0
end
"""


UNTOLD = Violation(
    "what ended is kept for a step that does not come",
    lambda: patch.object(WorkflowTasks, "_report", lambda *_: None),
    lambda: patch.object(live, "MOST_ROUNDS", 1_000_000),
)


@proves(UNTOLD)
async def test_a_run_that_never_pauses_hears_of_its_activity(engine: Engine) -> None:
    """Each of its commits is followed by the next decision, and none of them may be a fused one."""
    step = "local function main(n) return n end"
    await engine.deploy({"flow": TICK}, activities={"step": step})
    await engine.worker(drain_seconds=0.1)
    handle = await engine.start("flow")
    try:
        assert await handle.result(timeout=patience()) is True
    except TimeoutError:
        await handle.terminate()
        raise


STEP_THEN_LOCAL = """
local funcs = require("funcs")
local function main()
  local got = funcs.call("app:step")
  funcs.call("app:note", "x")
  return got
end
"""


@proves(replaced(Step, "needs_task", property(lambda _: False)))
async def test_a_local_activity_rests_on_what_is_recorded(engine: Engine) -> None:
    """A fused step would run it before the result it rests on is in the history (5.5)."""
    seen: list[list[str]] = []
    run_here = ActivityTasks.run_here

    async def look(self: ActivityTasks, attempt: Any) -> Any:
        hist = attempt.partition.hist(attempt.run_id)
        (entries,) = await engine.store.read(("XRANGE", hist, "-", "+"))
        seen.append([bytes(f[3]).decode() for _, f in entries])
        return await run_here(self, attempt)

    await engine.deploy(
        {"flow": STEP_THEN_LOCAL},
        activities={"step": "local function main() return 7 end"},
        python=PYTHON,
        local=("note",),
    )
    with patch.object(ActivityTasks, "run_here", look):
        await engine.worker()
        assert await engine.execute("flow") == 7
    assert "ActivityTaskCompleted" in seen[0]


@proves(mutant("release_task", "r.turn ~= turn or", "true or"))
async def test_a_drain_hands_decisions_back(engine: Engine) -> None:
    """What a decision waits for does not end in time: the task goes to others at once."""
    await engine.deploy({"flow": CALLS_GATE}, python=PYTHON, local=("gate",))
    worker = await engine.worker(drain_seconds=0.01)
    handle = await engine.start("flow")
    await begun("x")
    with patch("luaflow_worker.worker.SETTLE_SECONDS", 0.01):
        await engine.retire(worker)
    fields = await engine.fields(handle)
    assert (fields["task"], fields.get("lost", "0")) == ("queued", "0")
    gates.open_["x"].set()
    await engine.worker()
    assert await handle.result(timeout=patience()) == "x"


CALLS_GATE = """
local funcs = require("funcs")
local function main() return funcs.call("app:gate", "x") end
"""


SIGNALED = "local function main() return process.inbox():receive():topic() end"


async def test_a_take_that_fails_frees_its_cached_runs(engine: Engine) -> None:
    """After an outage longer than the patience the run can be evicted, and go on (3.8)."""
    await engine.deploy({"flow": SIGNALED})
    worker = await engine.worker()
    handle = await engine.start("flow")
    await until(engine, handle, "WorkflowTaskCompleted")
    apart, failed = Store.apart, asyncio.Event()

    async def cut_off(self: Store, *calls: Any) -> Any:
        if calls and calls[0].script.name == "take_workflow" and not failed.is_set():
            failed.set()
            raise Unknown("the server is away")
        return await apart(self, *calls)

    with patch.object(Store, "apart", cut_off):
        await handle.signal("s")
        await within(failed.wait())
        await handle.signal("t")
    assert not any(live.busy for live in worker.workflows.cache)
    await handle.terminate()


@proves(mutant("includes/decided", "if sticky_ms ~= (had[5] or '0') then", "if false then"))
async def test_a_worker_says_how_long_its_own_queue_is_waited_for(engine: Engine) -> None:
    """sticky_schedule_to_start_timeout: a minute, where the namespace has five seconds."""
    await engine.deploy({"flow": SIGNALED}, worker={"sticky_schedule_to_start_timeout": "1m"})
    worker = await engine.worker()
    handle = await engine.start("flow")
    await until(engine, handle, "WorkflowTaskCompleted")
    await engine.kill(worker)
    await handle.signal("s")
    p = engine.store.partition(handle.workflow_id)
    score, (seconds, _) = await engine.store.read(
        ("ZSCORE", p.leases, f"w|{handle.run_id}"), ("TIME",)
    )
    assert 50_000 < int(score) - int(seconds) * 1000 < 62_000
    await handle.terminate()


# -- slots -----------------------------------------------------------------------------------------

MANY = """
local funcs = require("funcs")
local function main(prefix, n, eager)
  local how = funcs.new():with_options({["activity.disable_eager_execution"] = not eager})
  local all = {}
  for i = 1, n do all[i] = how:async("app:gate", prefix .. i) end
  for i = 1, n do all[i]:response():receive() end
  return n
end
"""


@proves(replaced(ActivityTasks, "free", lambda self: self.slots - len(self.running) - self._taking))
async def test_one_decision_starts_no_more_than_the_slots(engine: Engine) -> None:
    """Ten eager activities and two slots: a slot is reserved for each that is kept (5.11)."""
    options = {"max_concurrent_activity_execution_size": 2}
    await engine.deploy({"flow": MANY}, python=PYTHON, worker=options)
    worker = await engine.worker()
    handle = await engine.start("flow", "g", 10, True)
    most = 0
    for n in range(1, 11):
        await begun(f"g{n}")
        most = max(most, len(worker.activities.running))
        gates.open_[f"g{n}"].set()
    assert await handle.result(timeout=patience()) == 10
    assert most <= 2
    assert worker.activities.free() == 2


@proves(replaced(ActivityTasks, "_eager_may_start", lambda _: True))
async def test_eager_activities_have_a_limit_of_their_own(engine: Engine) -> None:
    """max_concurrent_eager_activity_execution_size 1: the others go through the queue."""
    options = {"max_concurrent_eager_activity_execution_size": 1}
    await engine.deploy({"flow": MANY}, python=PYTHON, worker=options)
    worker = await engine.worker()
    queued, handle_tasks = [], worker.activities.handle

    def look(entries: Any) -> None:
        queued.extend(entries)
        handle_tasks(entries)

    worker.activities.handle = look  # type: ignore[method-assign]
    handle = await engine.start("flow", "g", 3, True)
    for n in range(1, 4):
        gates.open_[f"g{n}"].set()
    await handle.result(timeout=patience())
    assert sorted(entry.seq for entry in queued) == ["2", "3"]


_round = Poller.round


async def _forgetful(self: Poller) -> None:
    """Hand over what the slots of long ago had room for."""
    free = self._free()
    with patch.object(self, "_free", lambda: free):
        await _round(self)


@proves(replaced(Poller, "round", _forgetful))
async def test_a_read_that_blocked_knows_what_was_taken_meanwhile(engine: Engine) -> None:
    """The only slot is taken by an eager activity while the poller waits: the next task waits."""
    options = {"max_concurrent_activity_execution_size": 1}
    fine = "local function main() return 1 end"
    await engine.deploy({"flow": MANY, "fine": fine}, python=PYTHON, worker=options)
    await engine.worker(drain_seconds=0.1)
    await blocked(engine)
    first = await engine.start("flow", "a", 1, True, id=engine.id_in(1, "s"))
    await begun("a1")
    second = await engine.start("flow", "b", 1, False, id=engine.id_in(2, "s"))
    p = engine.store.partition(second.workflow_id)
    async with asyncio.timeout(patience()):
        while not (await engine.store.ask(("XPENDING", p.activity_queue("q"), "w")))[0][0]:
            assert not gates.began["b1"].is_set()
    for n in range(5):
        await engine.execute("fine", id=engine.id_in(n, "f"))
    assert not gates.began["b1"].is_set()
    gates.open_["a1"].set()
    await begun("b1")
    gates.open_["b1"].set()
    await first.result(timeout=patience())
    await second.result(timeout=patience())


async def blocked(engine: Engine) -> None:
    """Wait until a read of the activity queues blocks."""
    async with asyncio.timeout(patience()):
        while True:
            (text,) = await engine.store.read(("CLIENT", "LIST"))
            lines = [line for line in bytes(text).decode().splitlines() if "activity-0" in line]
            if any("flags=b" in line for line in lines):
                return


def _any_number(self: Rate) -> None:
    self._tokens = 1e9


@pytest.mark.parametrize(("option", "local"), [("worker", ()), ("worker_local", ("gate",))])
@proves(replaced(Rate, "_fill", _any_number))
async def test_activities_have_a_rate(engine: Engine, option: str, local: tuple[str, ...]) -> None:
    """Fifty a second, in bursts of a second: the second fifty take a second more."""
    for n in range(1, 101):
        gates.open_[f"g{n}"].set()
    options = {f"{option}_activities_per_second": 50}
    await engine.deploy({"flow": MANY}, python=PYTHON, local=local, worker=options)
    await engine.worker()
    began = asyncio.get_running_loop().time()
    assert await engine.execute("flow", "g", 100, False) == 100
    assert asyncio.get_running_loop().time() - began > 0.95


# -- local activities ------------------------------------------------------------------------------

LOCAL = """
local funcs = require("funcs")
local function main(name, options)
  local got, err = funcs.new():with_options(options):call(name, "x")
  if err then return nil, err end
  return got
end
"""


async def test_a_local_activity_takes_no_slot_of_the_others(engine: Engine) -> None:
    """The only slot of a worker is free while one runs."""
    options = {"max_concurrent_activity_execution_size": 1, "disable_eager_activities": True}
    await engine.deploy({"flow": LOCAL}, python=PYTHON, local=("gate",), worker=options)
    await engine.worker(drain_seconds=0.1)
    near = await engine.start("flow", "app:gate", {}, id=engine.id_in(1, "a"))
    await begun("x")
    assert await engine.execute(
        "flow", "app:note", {}, id=engine.id_in(2, "b")
    ) == gates.calls.count("x")
    gates.open_["x"].set()
    await near.result(timeout=patience())


QUICK = {"activity.retry_policy": {"initial_interval": 1, "maximum_attempts": 5}}


@proves(replaced(RetryPolicy, "next_delay_ms", lambda *_: None))
async def test_a_local_activity_is_tried_again(engine: Engine) -> None:
    """Its retry policy holds inside the workflow task; one marker says how it ended."""
    await engine.deploy({"flow": LOCAL}, python=PYTHON, local=("flaky",))
    await engine.worker()
    handle = await engine.start("flow", "app:flaky", QUICK)
    assert await handle.result(timeout=patience()) == 3
    assert (await engine.types(handle)).count("MarkerRecorded") == 1


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"activity.start_to_close_timeout": 20}, "start_to_close"),
        ({"activity.schedule_to_close_timeout": 20}, "schedule_to_close"),
    ],
)
async def test_a_local_activity_ends_at_its_timeouts(
    engine: Engine, options: dict[str, Any], kind: str
) -> None:
    """A gate that nobody opens: start-to-close ends an attempt, schedule-to-close all of them."""
    await engine.deploy({"flow": LOCAL}, python=PYTHON, local=("gate",))
    await engine.worker()
    once = {"activity.retry_policy": {"maximum_attempts": 1}}
    with pytest.raises(WorkflowFailed) as raised:
        await engine.execute("flow", "app:gate", options | once)
    assert raised.value.kind == "Timeout"
    assert (raised.value.details or {})["timeout_type"] == kind


async def test_a_local_activity_gives_up_before_its_next_attempt_is_late(engine: Engine) -> None:
    """Its last failure is told with the schedule-to-close timeout."""
    await engine.deploy({"flow": LOCAL}, python=PYTHON, local=("flaky",))
    await engine.worker()
    slow = {
        "activity.retry_policy": {"initial_interval": 60_000},
        "activity.schedule_to_close_timeout": 5_000,
    }
    with pytest.raises(WorkflowFailed) as raised:
        await engine.execute("flow", "app:flaky", slow)
    assert "x is not ready" in (raised.value.details or {})["last_failure"]["message"]


async def test_bad_options_of_a_local_activity_are_answered(engine: Engine) -> None:
    """They fail the call with Invalid, as for any other activity."""
    await engine.deploy({"flow": LOCAL}, python=PYTHON, local=("gate",))
    await engine.worker()
    with pytest.raises(WorkflowFailed, match="start_to_close_timeout") as raised:
        await engine.execute("flow", "app:gate", {"activity.start_to_close_timeout": "soon"})
    assert raised.value.kind == "Invalid"


TWO = """
local funcs = require("funcs")
local function main()
  local a, b = funcs.async("app:gate", "a"), funcs.async("app:gate", "b")
  b:response():receive()
  a:response():receive()
  return "both"
end
"""


async def test_local_activities_run_together(engine: Engine) -> None:
    """What a decision asks for at once runs at once, and is fed as it ends."""
    await engine.deploy({"flow": TWO}, python=PYTHON, local=("gate",))
    await engine.worker()
    handle = await engine.start("flow")
    await begun("a")
    await begun("b")
    gates.open_["b"].set()
    gates.open_["a"].set()
    assert await handle.result(timeout=patience()) == "both"


async def test_local_activities_have_slots(engine: Engine) -> None:
    """max_concurrent_local_activity_execution_size 1: one begins when the other has ended."""
    options = {"max_concurrent_local_activity_execution_size": 1}
    await engine.deploy({"flow": TWO}, python=PYTHON, local=("gate",), worker=options)
    await engine.worker()
    handle = await engine.start("flow")
    await begun("a")
    assert not gates.began["b"].is_set()
    gates.open_["a"].set()
    await begun("b")
    gates.open_["b"].set()
    assert await handle.result(timeout=patience()) == "both"


GIVEN_UP = """
local funcs, time = require("funcs"), require("time")
local function main()
  local never = funcs.async("app:gate", "x")
  never:cancel()
  time.sleep("1ms")
  return "gone on"
end
"""


@proves(replaced(local_activities, "_cancel", lambda *_: None))
async def test_a_canceled_local_activity_is_not_waited_for(engine: Engine) -> None:
    """The decision is committed although the activity would never end."""
    await engine.deploy({"flow": GIVEN_UP}, python=PYTHON, local=("gate",))
    await engine.scheduler()
    await engine.worker(drain_seconds=0.1)
    handle = await engine.start("flow")
    assert await handle.result(timeout=patience()) == "gone on"
