"""What code sees of messages, children and its past (design 3.4, 3.5, 5.2, 5.3)."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from tests.protocol import gates
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import kernel_mutant, mutant, patience, proves, replaced

from luaflow.client import starting
from luaflow.client.handle import Handle
from luaflow.errors import WorkflowFailed
from luaflow.replay import decider
from luaflow.replay.decider import Execution
from luaflow_worker import engines, steps, taking
from luaflow_worker.place import Place
from luaflow_worker.workflow_tasks import WorkflowTasks

PYTHON = {"gate": "tests.protocol.gates:gate", "note": "tests.protocol.gates:note"}


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


HANDED = """
local workflow = require("workflow")
local function main(n)
  local b = process.listen("b")
  if n == 2 then return b:receive() end
  local got = false
  coroutine.spawn(function() got = b:receive() end)
  local inbox = process.inbox()
  inbox:receive()
  channel.select({inbox:case_receive(), default = true})
  if n == 1 then workflow.continue_as_new(2) end
  return got
end
"""
NEVER_RAN = kernel_mutant("scheduler", "if task.got then", "if false then")
TAKEN_AT_ONCE = kernel_mutant("channel", "waiter.task.got = value", "K.mailbox.taken(run, value)")


async def _two_messages(engine: Engine, n: int) -> Handle:
    await engine.deploy({"flow": HANDED})
    handle = await engine.start("flow", n)
    await handle.signal("a")
    await handle.signal("b", "payload")
    await engine.worker()
    return handle


@proves(TAKEN_AT_ONCE)
async def test_a_message_for_a_coroutine_that_never_ran_is_unread(engine: Engine) -> None:
    """Its coroutine was woken, but the run ended first: the closing event lists it (5.3)."""
    handle = await _two_messages(engine, 0)
    assert await handle.result(timeout=patience()) is False
    assert (await engine.history(handle))[-1].body["unread"] == [3]


@proves(TAKEN_AT_ONCE)
async def test_such_a_message_goes_with_continue_as_new(engine: Engine) -> None:
    """The next run gets it (3.5)."""
    handle = await _two_messages(engine, 1)
    await until(engine, handle, "WorkflowExecutionContinuedAsNew")
    next_run = engine.client.get_handle(handle.workflow_id)
    assert await next_run.result(timeout=patience()) == "payload"


@proves(NEVER_RAN)
async def test_a_message_that_woke_its_coroutine_is_read(engine: Engine) -> None:
    """What was taken by a coroutine that ran is not listed, and not carried over."""
    await engine.deploy({"flow": "local function main() return process.listen('b'):receive() end"})
    handle = await engine.start("flow")
    await engine.worker()
    await until(engine, handle, "WorkflowTaskCompleted")
    await handle.signal("b", 1)
    await within(handle.result(timeout=patience()))
    assert "unread" not in (await engine.history(handle))[-1].body


PARENT = """
local time = require("time")
local function main(context)
  local events = process.events()
  local spawner = process.with_context(context)
  local pid, err = spawner:spawn_monitored("app:child", "app:worker")
  if err then return nil, err end
  local event = events:receive()
  return event.from == pid
end
"""


def _word(child: Any) -> bool:
    return b'"wait":true' in child.extra


@proves(replaced(decider, "_waits", _word))
async def test_the_context_of_a_child_is_not_looked_into(engine: Engine) -> None:
    """The EXIT event of a spawned child does not depend on a word in what it was given."""
    await engine.deploy({"parent": PARENT, "child": "local function main() return 1 end"})
    await engine.scheduler()
    await engine.worker()
    handle = await engine.start("parent", {"wait": True})
    assert await handle.result(timeout=patience()) is True


LARGE = """
local funcs, workflow = require("funcs"), require("workflow")
local function main(what)
  local large = ("x"):rep(1500)
  local _, err
  if what == "activity" then _, err = funcs.call("app:step", large) end
  if what == "local" then _, err = funcs.call("app:near", large) end
  if what == "child" then _, err = process.exec("app:flow", "app:worker", large) end
  if what == "signal" then _, err = process.send("{app:client@app:worker|other}", "s", large) end
  return err and err:kind()
end
"""


@pytest.mark.parametrize("what", ["activity", "local", "child", "signal"])
@proves(replaced(Place, "check_size", lambda *_: None))
async def test_what_is_too_large_is_answered(make_engine: Make, what: str) -> None:
    """A payload over the limit fails the call that has it, with kind Invalid; the run goes on."""
    engine = await make_engine(payload_max_bytes=1000, payload_warn_bytes=500)
    step = "local function main() return 1 end"
    await engine.deploy({"flow": LARGE}, activities={"step": step, "near": step}, local=("near",))
    await engine.scheduler()
    await engine.worker()
    handle = await engine.start("flow", what)
    assert await handle.result(timeout=patience()) == "Invalid"


RECORDED = """
local workflow = require("workflow")
local function main()
  workflow.side_effect(function() return ("x"):rep(100000) end)
  return workflow.info().run_id
end
"""


async def test_a_recorded_value_that_is_too_large_fails_the_task(make_engine: Make) -> None:
    """The code has it already, so it cannot be refused: the run is stuck, and says why."""
    engine = await make_engine(payload_max_bytes=1000, payload_warn_bytes=500)
    await engine.deploy({"flow": RECORDED})
    failed, fail = asyncio.Event(), WorkflowTasks._fail

    async def told(self: WorkflowTasks, *args: Any) -> None:
        await fail(self, *args)
        failed.set()

    with patch.object(WorkflowTasks, "_fail", told):
        await engine.worker()
        handle = await engine.start("flow")
        await within(failed.wait())
    stuck = orjson.loads((await engine.fields(handle))["stuck"])
    assert "side_effect" in stuck["message"]
    assert "1000" in stuck["message"]
    await handle.terminate()


FAN_OUT = """
local funcs = require("funcs")
local function main(n, how)
  local all = {}
  for i = 1, n do all[i] = funcs.async("app:step", i) end
  local sum = 0
  for i = 1, n do sum = sum + all[i]:response():receive():data() end
  return sum
end
"""
STEP = "local function main(n) return n end"


@proves(kernel_mutant("scheduler", "run.given >= MAX_DECISION", "false"))
async def test_a_large_fan_out_is_many_decisions(engine: Engine) -> None:
    """A decision has 500 commands at most, and the next one follows at once (5.8)."""
    await engine.deploy({"flow": FAN_OUT}, activities={"step": STEP})
    await engine.worker()
    handle = await engine.start("flow", 1700)
    assert await handle.result(timeout=3 * patience()) == 1700 * 1701 // 2
    events = await engine.history(handle)
    full = [e for e in events if e.type == "WorkflowTaskCompleted" and e.body.get("more")]
    assert len(full) == 3
    counts = [0]
    for event in events:
        if event.type == "WorkflowTaskCompleted":
            counts.append(0)
        counts[-1] += event.type == "ActivityTaskScheduled"
    assert max(counts) == 500


NAPS = """
local time = require("time")
local function main(n)
  for i = 1, n do time.after("1h") end
  return n
end
"""


@proves(mutant("commit", "or more == '1'", ""))
async def test_a_full_decision_is_followed_by_another(engine: Engine) -> None:
    """Although nothing new stands in the history."""
    await engine.deploy({"flow": NAPS})
    await engine.worker()
    handle = await engine.start("flow", 600)
    assert await handle.result(timeout=patience()) == 600


async def test_a_worker_lost_between_two_of_its_decisions_is_replaced(make_engine: Make) -> None:
    """The lease ends, and another worker goes on where the history says there is more."""
    engine = await make_engine(lease_ms=300)
    await engine.deploy({"flow": NAPS})
    worker, cut = await engine.worker(), asyncio.Event()

    async def die(self: WorkflowTasks, *args: Any) -> None:
        cut.set()
        await asyncio.Event().wait()

    with patch.object(WorkflowTasks, "_settle", die):
        handle = await engine.start("flow", 600)
        await within(cut.wait())
        await engine.kill(worker)
    fields = await engine.fields(handle)
    assert (fields["task"], fields["news"]) == ("taken", "0")
    await engine.scheduler()
    await engine.worker()
    assert await handle.result(timeout=patience()) == 600


SELF = """
local workflow = require("workflow")
local function main(how)
  process.send(process.pid(), "again", 1)
  if how == "end" then return "over" end
  if how == "continue" then workflow.continue_as_new("read") end
  local message = process.inbox():receive()
  return {message:topic(), message:from() == process.pid(), workflow.history_size()}
end
"""


@proves(
    kernel_mutant("modules/process", "if to_self then return true end", ""),
    mutant("includes/other_operations", "  r.news = r.news + 1\n    r.own", "  r.own"),
)
async def test_a_message_to_oneself_is_there_with_the_commit(engine: Engine) -> None:
    """It takes no relay; the code is fed it in the next decision (5.2)."""
    await engine.deploy({"flow": SELF})
    worker = await engine.worker()
    worker.workflows._deliver = lambda *_: None
    handle = await engine.start("flow", "read")
    topic, mine, size = await handle.result(timeout=patience())
    assert (topic, mine) == ("again", True)
    events = await engine.history(handle)
    at = next(i for i, e in enumerate(events) if e.type == "WorkflowExecutionSignaled")
    assert size == sum(len(e.raw) for e in events[: at + 1])


@proves(mutant("includes/close", "ipairs(r.own or {})", "ipairs({})"))
async def test_a_message_to_oneself_that_comes_too_late_is_listed(engine: Engine) -> None:
    """The code returned in the decision that sent it."""
    await engine.deploy({"flow": SELF})
    await engine.worker()
    handle = await engine.start("flow", "end")
    assert await handle.result(timeout=patience()) == "over"
    events = await engine.history(handle)
    sent = next(e.id for e in events if e.type == "WorkflowExecutionSignaled")
    assert events[-1].body["unread"] == [sent]


@proves(mutant("continue_as_new", "list[#list + 1] = m end", "end"))
async def test_a_message_to_oneself_goes_with_continue_as_new(engine: Engine) -> None:
    """The next run gets that of the last decision of the one before, beside its own."""
    await engine.deploy({"flow": SELF})
    await engine.worker()
    handle = await engine.start("flow", "continue")
    await until(engine, handle, "WorkflowExecutionContinuedAsNew")
    next_run = engine.client.get_handle(handle.workflow_id)
    await next_run.result(timeout=patience())
    assert (await engine.types(next_run)).count("WorkflowExecutionSignaled") == 2


PICKY = """
local function main()
  local wanted = process.listen("wanted")
  process.inbox()
  while true do wanted:receive() end
end
"""


@proves(mutant("includes/close", "or rcall('HGET', run_key, 'unread') or ''", "or ''"))
async def test_what_a_terminated_run_saw_and_did_not_take_is_listed(engine: Engine) -> None:
    """A decision has seen the message, and no receive has taken it (3.5)."""
    await engine.deploy({"flow": PICKY})
    await engine.worker()
    handle = await engine.start("flow")
    for name in ("wanted", "ignored", "wanted"):
        await handle.signal(name)
    async with asyncio.timeout(patience()):
        while (await engine.fields(handle))["news"] != "0":
            pass
    ignored = [e for e in await engine.history(handle) if e.body.get("name") == "ignored"]
    await handle.terminate()
    assert (await engine.history(handle))[-1].body["unread"] == [ignored[0].id]
    assert (await engine.fields(handle))["unread"] == str(ignored[0].id)


@proves(replaced(taking, "check_runtime", lambda _: None))
async def test_a_run_of_a_later_runtime_waits_for_its_worker(engine: Engine) -> None:
    """An older worker hands it back and says why; one of the newer release goes on (design 8)."""
    await engine.deploy({"flow": "local function main() return 1 end"})
    failed, fail = asyncio.Event(), WorkflowTasks._fail

    async def told(self: WorkflowTasks, *args: Any) -> None:
        await fail(self, *args)
        failed.set()

    with patch.object(starting, "RUNTIME_VERSION", 2):
        handle = await engine.start("flow")
    with patch.object(WorkflowTasks, "_fail", told):
        old = await engine.worker()
        await within(failed.wait())
        await engine.retire(old)
    stuck = orjson.loads((await engine.fields(handle))["stuck"])
    assert (stuck["reason"], "version 2" in stuck["message"]) == ("runtime", True)
    await engine.scheduler()
    with patch.object(engines, "RUNTIME_VERSION", 2):
        await engine.worker()
        assert await handle.result(timeout=patience()) == 1


LOCAL_THEN = """
local funcs, workflow = require("funcs"), require("workflow")
local function main(how)
  local inbox = process.inbox()
  if how == "read" then return inbox:receive():topic() end
  funcs.call("app:gate", "x")
  if how == "take" then inbox:receive() end
  if how == "leave" then return "left" end
  if how == "carry" then workflow.continue_as_new("read") end
  return "taken"
end
"""


def _stale(self: Execution, out: Any, took: Any = Execution._take) -> None:
    before = self._decision.unread
    took(self, out)
    if not out.unread and out.status in ("done", "continued"):
        self._decision.unread = before


async def _unread_after(engine: Engine, how: str) -> list[int] | None:
    await engine.deploy({"flow": LOCAL_THEN}, python=PYTHON, local=("gate",))
    handle = await engine.start("flow", how)
    await handle.signal("m")
    gates.open_["x"].set()
    await engine.worker()
    await handle.result(timeout=patience())
    found: list[int] | None = (await engine.history(handle))[-1].body.get("unread")
    return found


@proves(replaced(Execution, "_take", _stale))
async def test_what_was_unread_before_a_local_activity_is_looked_at_again(engine: Engine) -> None:
    """The message came first, the local activity was waited for, then it was taken (5.3)."""
    assert await _unread_after(engine, "take") is None


async def test_what_stays_unread_past_a_local_activity_is_listed(engine: Engine) -> None:
    """The same, but nobody took it."""
    assert await _unread_after(engine, "leave") == [2]


async def test_a_message_is_carried_once_past_a_local_activity(engine: Engine) -> None:
    """It is in the next run, and there one time."""
    await engine.deploy({"flow": LOCAL_THEN}, python=PYTHON, local=("gate",))
    handle = await engine.start("flow", "carry")
    await handle.signal("m")
    gates.open_["x"].set()
    await engine.worker()
    await until(engine, handle, "WorkflowExecutionContinuedAsNew")
    next_run = engine.client.get_handle(handle.workflow_id)
    assert await next_run.result(timeout=patience()) == "m"
    assert (await engine.types(next_run)).count("WorkflowExecutionSignaled") == 1


MANY_VERSIONS = """
local workflow = require("workflow")
local function main(n)
  for i = 1, n do workflow.version("c" .. i, 1, 1) end
  for i = 1, n do workflow.side_effect(function() return i end) end
  return n
end
"""


@proves(kernel_mutant("scheduler", "run.given >= MAX_DECISION", "false"))
async def test_recorded_values_fill_decisions_too(engine: Engine) -> None:
    """Versions and side effects pause like all else: no commit writes more than 500 of them."""
    await engine.deploy({"flow": MANY_VERSIONS})
    await engine.worker()
    handle = await engine.start("flow", 700)
    assert await handle.result(timeout=patience()) == 700
    events = await engine.history(handle)
    assert sum(e.type == "WorkflowTaskCompleted" for e in events) == 3


WIDE = """
local time = require("time")
local function main(n)
  process.set_options({interrupt_on_cancel = true})
  for i = 1, n do coroutine.spawn(function() time.sleep("1h") end) end
  return time.sleep("1h")
end
"""


@proves(replaced(steps, "MOST_COMMANDS", 400))
async def test_a_wide_run_can_be_canceled(engine: Engine) -> None:
    """What it gives up at once is as much as it asked for, 500 at a time."""
    await engine.deploy({"flow": WIDE})
    await engine.worker()
    handle = await engine.start("flow", 5100)
    async with asyncio.timeout(3 * patience()):
        while (await engine.types(handle)).count("TimerStarted") < 5101:
            pass
    await handle.cancel()
    with pytest.raises(WorkflowFailed) as raised:
        await handle.result(timeout=3 * patience())
    assert raised.value.kind == "Canceled"


OBEYS = """
local time = require("time")
local function main(n)
  process.set_options({interrupt_on_cancel = true})
  process.inbox():receive()
  for i = 1, n do time.after("1h") end
  local _, err = time.sleep("1h")
  return err and err:kind()
end
"""


@proves(kernel_mutant("cancel", "K.mailbox.taken(run, run.request)", ""))
async def test_a_cancel_request_that_is_obeyed_later_is_taken(engine: Engine) -> None:
    """It came while the code was paused in a full decision (5.3)."""
    await engine.deploy({"flow": OBEYS})
    handle = await engine.start("flow", 600)
    await handle.signal("go")
    await handle.cancel()
    await engine.worker()
    assert await handle.result(timeout=patience()) == "Canceled"
    assert "unread" not in (await engine.history(handle))[-1].body
