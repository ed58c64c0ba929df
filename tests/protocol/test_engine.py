"""A real worker on the protocol: what it does with refusals, crashes, news and other code."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from tests.protocol import gates
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import kernel_mutant, mutant, patience, proves, replaced

from luaflow.domain.events import MESSAGES
from luaflow.registry.bundle import Bundle
from luaflow.replay.decider import Execution
from luaflow.store import transitions
from luaflow_worker import faults
from luaflow_worker.activity_tasks import ActivityTasks
from luaflow_worker.polling import Poller
from luaflow_worker.workflow_tasks import WorkflowTasks

PYTHON = {"gate": "tests.protocol.gates:gate", "note": "tests.protocol.gates:note"}


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


GATED = """
local funcs = require("funcs")
local function main()
  local a = funcs.call("app:gate", "a")
  local inbox = process.inbox()
  local m = inbox:receive()
  return a .. m:topic()
end
"""


def _forget_results(self: WorkflowTasks, live: Any, results: Any = ()) -> None:
    self.taken.pop(live.run_id, None)
    self.cache.drop(live)
    live.results = []


@proves(replaced(WorkflowTasks, "_let_go", _forget_results))
async def test_refused_fused_step_takes_the_plain_path(engine: Engine) -> None:
    """A signal came while the activity ran: the fused step is refused, its result reported else."""
    await engine.deploy({"flow": GATED}, python=PYTHON)
    await engine.worker()
    handle = await engine.start("flow")
    await within(gates.began["a"].wait())
    blocked = asyncio.Event()
    run = engine.workers[0].workflows._store.run

    async def late(*calls: Any, **how: Any) -> Any:
        if any(c.script.name == "commit" and "fused" in c.args for c in calls):
            await handle.signal("s", ())
            blocked.set()
        return await run(*calls, **how)

    with patch.object(engine.workers[0].workflows._store, "run", late):
        gates.open_["a"].set()
        assert await handle.result(timeout=patience()) == "as"
    assert blocked.is_set()
    assert gates.calls == ["a"]
    worker = engine.workers[0]
    await engine.retire(worker)
    assert not worker.workflows._plain_only


DRAIN = """
local funcs = require("funcs")
local function main()
  local inbox, got = process.inbox(), {}
  funcs.call("app:gate", "local")
  while true do
    local case = channel.select({inbox:case_receive(), default = true})
    if case.default then return got end
    got[#got + 1] = case.value:topic()
  end
end
"""


async def _not_again(self: WorkflowTasks, live: Any) -> None:
    return None


@proves(
    mutant("commit", "if closing and messages > 0 then", "if false then"),
    replaced(WorkflowTasks, "_decide_again", _not_again),
)
async def test_a_signal_at_the_last_moment_is_read(engine: Engine) -> None:
    """It came between the decision and its commit: the close is refused, the code takes it."""
    await engine.deploy({"drain": DRAIN}, python=PYTHON, local=("gate",))
    await engine.worker()
    handle = await engine.start("drain")
    await within(gates.began["local"].wait())
    await handle.signal("one", ())
    gates.open_["local"].set()
    assert await handle.result(timeout=patience()) == ["one"]


ORDER = """
local funcs, time = require("funcs"), require("time")
local function main()
  local inbox, timer, got = process.inbox(), time.after("5s"), {}
  funcs.call("app:note", "first")
  while #got < 3 do
    local case = channel.select({timer:case_receive(), inbox:case_receive()})
    got[#got + 1] = case.channel == timer and "timer" or case.value:topic()
    if case.channel == timer then timer = channel.new(0) end
  end
  return got
end
"""


_BEGIN = Execution._begin


def _rest_first(self: Execution, seen: int) -> None:
    due = [e for e in self._unseen if e[0].id <= seen]
    rest = [e for e in due if e[0].type not in MESSAGES]
    messages = [e for e in due if e[0].type in MESSAGES]
    if rest and messages and rest[0][0].id != 1:
        later = self._unseen[len(due) :]
        self._unseen = rest
        _BEGIN(self, seen)
        first = self._decision.commands
        self._unseen = messages + later
        _BEGIN(self, seen)
        self._decision.commands[:0] = first
    else:
        _BEGIN(self, seen)


@proves(replaced(Execution, "_begin", _rest_first))
async def test_messages_are_fed_before_the_rest(make_engine: Make) -> None:
    """A timer fired before the signals of its batch is fed behind them (5.2)."""
    engine = await make_engine(simulated=True)
    await engine.deploy({"order": ORDER}, python=PYTHON)
    worker = await engine.worker()
    handle = await engine.start("order", id="w")
    await until(engine, handle, "ActivityTaskCompleted")
    await engine.kill(worker)
    await engine.shift(5_000)
    route = await engine.store.route("w")
    seq = next(e.body["seq"] for e in await engine.history(handle) if e.type == "TimerStarted")
    body = b'{"seq":%d}' % seq
    _, answer = await engine.store.reach(
        route, lambda r: transitions.fire_timer(route=r, seq=str(seq), body=body)
    )
    assert answer[0] == b"ok"
    await handle.signal("one", ())
    await handle.signal("two", ())
    await engine.shift(5_000)
    await engine.scheduler()
    await engine.worker()
    assert await handle.result(timeout=patience()) == ["one", "two", "timer"]


CLOCK = """
local funcs, time = require("funcs"), require("time")
local function main()
  local before = time.now()
  time.sleep("1h")
  local slept = time.now():sub(before):hours()
  if slept < 1 or slept > 1.5 then time.sleep("1s") end
  funcs.call("app:note", "x")
  process.inbox():receive()
  return slept >= 1
end
"""


def _stamped_now(self: Execution, event: Any) -> None:
    if self._past is not None:
        self._now = self._now + 1
    else:
        self._now = max(self._now, event.ts)
    self._length = max(self._length, event.id)


@proves(replaced(Execution, "_clock", _stamped_now))
async def test_a_replay_sees_the_times_of_history(make_engine: Make) -> None:
    """Time in the code is that of the events fed, at every replay (3.4)."""
    engine = await make_engine(simulated=True)
    await engine.deploy({"clock": CLOCK}, python=PYTHON)
    await engine.scheduler()
    await engine.worker()
    handle = await engine.start("clock")
    await until(engine, handle, "TimerStarted")
    await engine.shift(3_600_000)
    await until(engine, handle, "ActivityTaskCompleted")
    await handle.signal("end", ())
    assert await handle.result(timeout=patience()) is True


PAIRS = """
local funcs, workflow = require("funcs"), require("workflow")
local function main()
  local t = {}
  for i = 1, 40 do t["key" .. i * 7919] = i end
  for name in pairs(t) do workflow.version(name, 1, 1) end
  return funcs.call("app:note", "end")
end
"""


@proves(kernel_mutant("libs", "pairs = S.pairs", "pairs = N.pairs"))
async def test_pairs_has_one_order_everywhere(engine: Engine) -> None:
    """Every replay on a fresh engine iterates a table as the worker did (3.4)."""
    await engine.deploy({"pairs": PAIRS}, python=PYTHON)
    await engine.worker(cache=0)
    assert await engine.execute("pairs") == 1


POLL = """
local function main()
  local inbox, got = process.inbox(), {}
  got[1] = inbox:receive():topic()
  while true do
    local case = channel.select({inbox:case_receive(), default = true})
    if case.default then return got end
    got[#got + 1] = case.value:topic()
  end
end
"""


def _one_by_one(self: Execution, seen: int) -> None:
    if self._past is not None or seen < 3:
        _BEGIN(self, seen)
        return
    for one in range(self._unseen[0][0].id, seen + 1):
        if self._decision.status == "wait":
            _BEGIN(self, one)
    self._decision.seen = seen


@proves(replaced(Execution, "_begin", _one_by_one))
async def test_a_poll_takes_the_messages_of_its_batch(engine: Engine) -> None:
    """Code that empties its mailbox before it returns leaves nothing acknowledged behind (3.5)."""
    await engine.deploy({"poll": POLL})
    handle = await engine.start("poll")
    for name in ("one", "two", "three"):
        await handle.signal(name, ())
    await engine.worker()
    assert await handle.result(timeout=patience()) == ["one", "two", "three"]
    assert "unread" not in (await engine.history(handle))[-1].body


READER = """
local workflow = require("workflow")
local function main()
  local inbox, got = process.inbox(), {}
  for i = 1, 2 do
    got[i] = inbox:receive():topic()
    workflow.version("after " .. got[i], 1, 1)
  end
  return got
end
"""


@proves(mutant("take_workflow", "cached_cid ~= '' and cached_cid == r.cid", "cached_cid ~= ''"))
async def test_a_coroutine_that_missed_a_decision_is_rebuilt(make_engine: Make) -> None:
    """A worker finds in its cache a run that another one decided since: it replays (5.1)."""
    engine = await make_engine(simulated=True)
    await engine.deploy({"reader": READER})
    await engine.scheduler()
    first = await engine.worker()
    handle = await engine.start("reader")
    await until(engine, handle, "WorkflowTaskCompleted")
    pollers = [s for s in first._services if isinstance(s, Poller)]
    await asyncio.gather(*(s.stop() for s in pollers))
    await handle.signal("one", ())
    await engine.shift(5_000)
    second = await engine.worker()
    await until(engine, handle, "MarkerRecorded")
    await engine.retire(second)
    await asyncio.gather(*(s.start() for s in pollers))
    await handle.signal("two", ())
    assert await handle.result(timeout=patience()) == ["one", "two"]
    assert (await engine.types(handle)).count("MarkerRecorded") == 2


BEFORE = """
local funcs = require("funcs")
local function main()
  funcs.call("app:note", "a")
  process.inbox():receive()
  funcs.call("app:note", "b")
  return "done"
end
"""
CALL, SLEEP = b'funcs.call(\\"app:note\\", \\"a\\")', b'require(\\"time\\").sleep(\\"1s\\")'


def _other_code(data: bytes, name: str = "") -> Bundle:
    assert CALL in data
    return _FROM_BYTES(data.replace(CALL, SLEEP))


_FROM_BYTES = Bundle.from_bytes


def _failure_told() -> tuple[asyncio.Event, Any]:
    """An event for the moment a failed task was reported, and what sets it (for ``_fail``)."""
    failed, fail = asyncio.Event(), WorkflowTasks._fail

    async def told(self: Any, *args: Any) -> None:
        await fail(self, *args)
        failed.set()

    return failed, told


@proves(replaced(Execution, "_compare", lambda *_: None))
async def test_changed_code_fails_the_task_and_not_the_run(make_engine: Make) -> None:
    """NonDeterminism names event, expected and got; the run goes on when its code is back (3.4)."""
    engine = await make_engine(simulated=True)
    await engine.deploy({"flow": BEFORE}, python=PYTHON)
    await engine.scheduler()
    worker = await engine.worker()
    handle = await engine.start("flow")
    await until(engine, handle, "ActivityTaskCompleted")
    await engine.kill(worker)
    failed, told = _failure_told()
    with (
        patch.object(WorkflowTasks, "_fail", told),
        patch.object(Bundle, "from_bytes", _other_code),
    ):
        await handle.signal("go", ())
        await engine.shift(10_000)
        other = await engine.worker()
        await within(failed.wait())
        await engine.kill(other)
    fields = await engine.fields(handle)
    stuck = orjson.loads(fields["stuck"])
    assert fields["status"] == "running"
    assert stuck["reason"] == "nondeterminism"
    assert stuck["expected"].startswith("activity #1")
    assert stuck["got"].startswith("timer #1")
    assert stuck["line"] == "flow.lua:4"
    assert "flow.lua:4" in stuck["message"]
    await engine.worker()
    await engine.shift(60_000)
    assert await handle.result(timeout=patience()) == "done"


def _raised(error: Exception) -> None:
    raise error


@proves(replaced(faults, "fault_of", _raised))
async def test_a_bad_workflow_hurts_only_itself(engine: Engine) -> None:
    """One of a batch loops for ever: its task fails, the others complete (3.6)."""
    loop = "local function main() while true do end end"
    fine = "local function main(n) return n end"
    await engine.deploy({"loop": loop, "fine": fine}, worker={"deadlock_detection_timeout": "50ms"})
    bad = await engine.start("loop")
    good = [await engine.start("fine", n) for n in range(5)]
    await engine.worker()
    assert [await h.result(timeout=patience()) for h in good] == list(range(5))
    assert (await engine.fields(bad))["status"] == "running"
    await bad.terminate("enough")


@proves(replaced(ActivityTasks, "free", lambda _: 100))
async def test_slots_bound_what_a_worker_holds(engine: Engine) -> None:
    """A worker of two slots runs two activities at a time, over 16 partitions (5.11)."""
    await engine.deploy(
        {"flow": GATED.replace('"a"', '"g"')},
        python=PYTHON,
        worker={
            "max_concurrent_activity_execution_size": 2,
            "disable_eager_activities": True,
            "worker_stop_timeout": "1s",
        },
    )
    await engine.worker()
    handles = [await engine.start("flow", id=engine.id_in(n)) for n in range(6)]
    for handle in handles:
        await until(engine, handle, "ActivityTaskScheduled")
    await within(gates.began["g"].wait())
    held = len(engine.workers[0].activities.running)
    gates.open_["g"].set()
    assert held <= 2
    for handle in handles:
        await handle.signal("s", ())
        assert await handle.result(timeout=patience()) == "gs"
    assert len(gates.calls) == 6


async def test_continuing_as_a_type_that_is_not_there_waits_for_it(engine: Engine) -> None:
    """The run is stuck and says why; once the type is deployed, it goes on as that type."""
    first = {"first": "local function main() process.upgrade('app:second', 7) end"}
    await engine.deploy(first)
    await engine.worker()
    await engine.scheduler()
    failed, told = _failure_told()
    with patch.object(WorkflowTasks, "_fail", told):
        run = await engine.start("first")
        await within(failed.wait())
    health = (await run.describe())["health"]
    assert health["state"] == "stuck"
    assert "app:second" in health["reason"]["message"]
    await engine.deploy(first | {"second": "local function main(n) return n + 1 end"})
    assert await run.result(timeout=patience()) == 8


async def test_worker_options_of_the_yaml_count(engine: Engine) -> None:
    """Slots, the time to drain and logging in replay come from the worker's entry."""
    options = {
        "max_concurrent_activity_execution_size": 3,
        "worker_stop_timeout": "7s",
        "enable_logging_in_replay": True,
        "disable_eager_activities": True,
    }
    await engine.deploy({"flow": "local function main() end"}, worker=options)
    worker = await engine.worker()
    assert (worker.activities.slots, worker.drain_seconds) == (3, 7.0)
    assert worker.workflows._engines.log_replay
    assert not worker.activities.eager
    assert (await engine.worker(drain_seconds=1.0)).drain_seconds == 1.0
