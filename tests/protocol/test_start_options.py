"""Start options of workflows and of their children: what each does, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.protocol.hand import Hand
from tests.protocol.scenes import CHILD
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import mutant, proves

from luaflow.client.handle import Handle
from luaflow.errors import AlreadyExists, InvalidArgument, NotFound, WorkflowFailed
from luaflow.store import transitions
from luaflow.store.child_starts import child_start
from luaflow.store.delivery import Stamp
from luaflow.store.link import Call
from luaflow.store.transitions import Route

WAIT = """
local function main()
  local inbox, got = process.inbox(), {}
  while true do
    local message = inbox:receive()
    got[#got + 1] = message:topic()
    if message:topic() == "end" then return {got = got, from = message:from()} end
  end
end
"""
ECHO = """
local workflow = require("workflow")
local function main(...) return {n = select("#", ...), info = workflow.info()} end
"""
SPAWN = """
local function main(id, options, messages, name, wait)
  local spawner = process.with_options(options)
  if name then spawner = spawner:with_name(name) end
  for _, topic in ipairs(messages or {}) do spawner = spawner:with_message(topic) end
  if wait then return spawner:exec(id, "app:worker") end
  local pid, err = spawner:spawn(id, "app:worker")
  if err then return {kind = err:kind(), message = err:message()} end
  local inbox, events = process.inbox(), process.events()
  if inbox:receive():topic() == "stay" then inbox:receive() end
  return {pid = pid}
end
"""
SOURCES = {"wait": WAIT, "echo": ECHO, "spawn": SPAWN}


async def engine_of(make: Make, sources: dict[str, str] | None = None) -> Engine:
    """A simulated namespace with a worker and a scheduler."""
    engine = await make(simulated=True)
    await engine.deploy(sources or SOURCES)
    await engine.scheduler()
    await engine.worker()
    return engine


async def test_every_option_is_an_argument(make_engine: Make) -> None:
    """By its name, with Python's own durations; a wrong name is a TypeError, as in Python."""
    engine = await engine_of(make_engine)
    handle = await engine.start(
        "wait",
        id="w",
        run_timeout=timedelta(minutes=1),
        retry_policy={"initial_interval": timedelta(seconds=2), "maximum_attempts": 4},
        priority={"priority_key": 1},
        summary="one line",
        details="more lines",
        enable_eager_start=True,
        id_reuse_policy="reject_duplicate",
    )
    body = (await engine.history(handle))[0].body
    assert body["run_timeout_ms"] == 60_000
    assert body["retry_policy"]["initial_interval_ms"] == 2_000
    found = await handle.describe()
    assert (found["summary"], found["details"]) == ("one line", "more lines")
    assert found["priority"] == {"priority_key": 1, "fairness_key": "", "fairness_weight": 1.0}
    with pytest.raises(TypeError, match="did you mean 'run_timeout'"):
        await engine.start("wait", run_timeuot="1m")
    await handle.terminate()


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("id", "", "must be a non-empty string"),
        ("task_queue", 7, "must be a non-empty string"),
        ("execution_timeout", "soon", "must be a duration"),
        ("run_timeout", True, "must be a duration"),
        ("task_timeout", -1, "must not be negative"),
        ("start_delay", {}, "must be a duration"),
        ("id_conflict_policy", "maybe", "must be one of"),
        ("id_reuse_policy", 9, "must be one of"),
        ("execution_error_when_already_started", "yes", "must be true or false"),
        ("retry_policy", 3, "must be a table"),
        ("cron_schedule", "daily", "must be a cron expression"),
        ("memo", [1], "must be a table"),
        ("search_attributes", {"a": {"b": 1}}, "must be a string"),
        ("search_attributes", {f"a{n}": n for n in range(101)}, "must be 100 values at most"),
        ("enable_eager_start", 1, "must be true or false"),
        ("summary", 1, "must be a string"),
        ("details", [], "must be a string"),
        ("versioning_override", "newest", "must be"),
        ("priority", {"priority_key": -1}, "must be a whole number"),
    ],
)
async def test_a_wrong_value_starts_nothing(
    make_engine: Make, key: str, value: Any, why: str
) -> None:
    """The words name the key; nothing is written."""
    engine = await make_engine()
    await engine.deploy({"echo": ECHO})
    with pytest.raises(InvalidArgument, match=rf"workflow\.{key}\S* {why}"):
        await engine.start("echo", options={f"workflow.{key}": value})
    assert await engine.client.count() == 0


async def test_the_code_of_a_parent_reads_the_same_words(make_engine: Make) -> None:
    """spawn answers nil and Invalid; no child is asked for."""
    engine = await engine_of(make_engine)
    for key, value in (
        ("run_timeout", "soon"),
        ("cron_schedule", "x"),
        ("parent_close_policy", "x"),
    ):
        handle = await engine.start("spawn", "app:echo", {f"workflow.{key}": value})
        found = await within(handle.result())
        assert (found["kind"], f"workflow.{key} must be" in found["message"]) == ("Invalid", True)
        assert await engine.client.count("type = 'app:echo'") == 0


async def test_a_child_stays_in_its_namespace(make_engine: Make) -> None:
    """Another namespace is refused, in words that say what to do; one's own is no mistake."""
    engine = await engine_of(make_engine)
    handle = await engine.start("spawn", "app:echo", {"workflow.namespace": "elsewhere"})
    found = await within(handle.result())
    assert found["kind"] == "Invalid"
    assert "workflow.namespace must be" in found["message"]
    own = {"workflow.namespace": engine.store.namespace}
    handle = await engine.start("spawn", "app:echo", own, None, None, True)
    assert (await within(handle.result()))["n"] == 0


async def test_a_missing_type_is_not_found_at_once(make_engine: Make) -> None:
    """By clients, spawn and exec: nothing waits for a worker that may never come (ruling 2)."""
    engine = await engine_of(make_engine)
    with pytest.raises(NotFound):
        await engine.start("nothing")
    handle = await engine.start("spawn", "app:nothing", {})
    assert (await within(handle.result()))["kind"] == "NotFound"
    handle = await engine.start("spawn", "app:nothing", {}, None, None, True)
    with pytest.raises(WorkflowFailed) as caught:
        await within(handle.result())
    assert (caught.value.kind, caught.value.retryable) == ("NotFound", False)


async def ended_by(engine: Engine, workflow_id: str, *names: str) -> Any:
    """Send signals to a workflow; its result."""
    handle = engine.client.get_handle(workflow_id)
    for name in names:
        await handle.signal(name)
    return await within(handle.result())


@proves(mutant("deliver_to_existing", "for i = messages, #ARGV, 2 do tell", "for i = 1, 0 do tell"))
async def test_a_child_that_runs_already_gets_the_messages(make_engine: Make) -> None:
    """A name means one workflow: the existing run is taken, its input kept, messages delivered.

    It is nobody's child: its parent's end is nothing to it.
    """
    engine = await engine_of(make_engine)
    existing = await engine.start("wait", id="one")
    parent = await engine.start("spawn", "app:wait", {}, ["first", "second"], "one")
    await until(engine, parent, "ChildWorkflowExecutionStarted")
    event = next(
        e for e in await engine.history(parent) if e.type == "ChildWorkflowExecutionStarted"
    )
    assert (event.body["run_id"], event.body["existing"]) == (existing.run_id, True)
    assert (await ended_by(engine, parent.workflow_id, "go"))[
        "pid"
    ] == "{app:client@app:worker|one}"
    assert (await existing.describe())["status"] == "running"
    assert (await ended_by(engine, "one", "end"))["got"] == ["first", "second", "end"]


async def test_exec_never_takes_another_s_run(make_engine: Make) -> None:
    """It waits for the end of its child, which is another's: AlreadyExists, not retryable."""
    engine = await engine_of(make_engine)
    await engine.start("wait", id="one")
    handle = await engine.start("spawn", "app:wait", {}, ["first"], "one", True)
    with pytest.raises(WorkflowFailed) as caught:
        await within(handle.result())
    assert (caught.value.kind, caught.value.retryable) == ("AlreadyExists", False)
    assert (await ended_by(engine, "one", "end"))["got"] == ["end"]


async def test_policies_of_a_child(make_engine: Make) -> None:
    """fail leaves the run and its mailbox alone; reject_duplicate holds for closed runs."""
    engine = await engine_of(make_engine)
    existing = await engine.start("wait", id="one")
    fail = {"workflow.id": "one", "workflow.id_conflict_policy": "fail"}
    handle = await engine.start("spawn", "app:wait", fail, ["first"])
    assert (await within(handle.result()))["kind"] == "AlreadyExists"
    assert (await ended_by(engine, "one", "end"))["got"] == ["end"]
    reject = {"workflow.id": "one", "workflow.id_reuse_policy": "reject_duplicate"}
    handle = await engine.start("spawn", "app:wait", reject)
    assert (await within(handle.result()))["kind"] == "AlreadyExists"
    assert (await engine.client.get_handle("one").describe())["run_id"] == existing.run_id


def start_of_child(route: Route, conflict: str, *, running: bool = True) -> Call:
    """The call for the start of a child that the relay makes; ``route``: what has the id."""
    mail = {**CHILD, "conflict": conflict, "queue": "q", "type": "t", "bundle": "b"}
    mail |= {"reuse": "allow_duplicate", "started": {"v": 1, "workflow_id": "w"}}
    stamp = Stamp(3, 1, 1)
    return child_start(stamp, mail, route, running=running, parent=None, no=b"{}")[0]


@proves(mutant("deliver_to_existing", "if verdict then return { verdict } end", "local _"))
async def test_a_repeat_tells_an_existing_run_once(hand: Hand) -> None:
    """The start of a child that took it arrives twice: its messages are there once (3.3)."""
    route, _ = await hand.idle()
    call = start_of_child(route, "use_existing")
    assert (await hand.store.one(call))[0] == b"ok"
    assert (await hand.store.one(call))[0] == b"duplicate"
    assert (await hand.types(route)).count("WorkflowExecutionSignaled") == 1


@proves(
    mutant("make_way", "if verdict then return { verdict } end", "local _"),
    mutant("deliver_start", "conflict ~= 'fail' then return", "conflict == '' then return"),
    mutant("deliver_to_existing", "or current[4] ~= 'running' then", "then"),
)
async def test_a_repeat_does_not_end_the_child(hand: Hand) -> None:
    """Whoever carries the message a second time finds that it was applied: the child goes on."""
    route, _ = await hand.idle()
    begin = start_of_child(route, "terminate_existing", running=False)
    assert (await hand.store.one(begin))[0] == b"moved"
    assert (await hand.store.one(start_of_child(route, "terminate_existing"))) == [b"ended"]
    assert (await hand.store.one(start_of_child(route, "use_existing")))[0] == b"moved"
    assert (await hand.store.one(begin))[0] == b"ok"
    child = route._replace(run_id=str(CHILD["run_id"]))
    repeat = start_of_child(child, "terminate_existing")
    assert (await hand.store.one(repeat))[0] == b"duplicate"
    assert (await hand.state(child))["status"] == "running"
    await hand.end(child)


async def test_a_child_may_take_the_place_of_a_run(make_engine: Make) -> None:
    """terminate_existing ends the old run and starts the child, with its messages."""
    engine = await engine_of(make_engine)
    existing = await engine.start("wait", id="one")
    ending = {"workflow.id": "one", "workflow.id_conflict_policy": "terminate_existing"}
    parent = await engine.start("spawn", "app:wait", ending, ["first"])
    await until(engine, parent, "ChildWorkflowExecutionStarted")
    assert (await engine.client.get_handle("one", existing.run_id).describe())["status"] == (
        "terminated"
    )
    assert (await ended_by(engine, "one", "end"))["got"] == ["first", "end"]
    await ended_by(engine, parent.workflow_id, "go")


async def test_start_delay_ends_with_the_first_signal(make_engine: Make) -> None:
    """The first task waits; signal-with-start does not, and the run timeout begins with it."""
    engine = await engine_of(make_engine)
    late = await engine.start("wait", id="late", start_delay="1h", run_timeout="10m")
    assert (await engine.fields(late))["task"] == "delayed"
    found = await late.describe()
    times = (found["start_time"], found["first_task_time"])
    opened, begins = map(datetime.fromisoformat, times)
    assert begins - opened == timedelta(hours=1)
    p = engine.store.partition("late")
    begun = (await engine.history(late))[0].ts
    (due,) = await engine.store.read(("ZSCORE", p.timers, f"x|{late.run_id}"))
    assert int(due) == begun + 3_600_000 + 600_000
    how = {"options": {"workflow.start_delay": "1h"}, "id": "soon"}
    soon = await engine.client.signal_with_start("app:wait", "end", (), **how)
    assert (await within(soon.result()))["got"] == ["end"]
    await engine.shift(3_600_000)
    await until(engine, late, "WorkflowTaskCompleted")
    await late.terminate()


@pytest.mark.parametrize("policy", ["terminate", "abandon", "request_cancel"])
async def test_parent_close_policies(make_engine: Make, policy: str) -> None:
    """In another partition than the parent's: it ends, it stays, or it is asked to end."""
    engine = await engine_of(make_engine)
    child_id = engine.id_in(3, "child")
    options = {"workflow.id": child_id, "workflow.parent_close_policy": policy}
    parent = await engine.start("spawn", "app:wait", options, id=engine.id_in(4, "parent"))
    await until(engine, parent, "ChildWorkflowExecutionStarted")
    child: Handle = engine.client.get_handle(child_id)
    child.run_id = (await child.describe())["run_id"]
    await ended_by(engine, parent.workflow_id, "go")
    if policy == "terminate":
        await until(engine, child, "WorkflowExecutionTerminated")
        return
    if policy == "request_cancel":
        await until(engine, child, "WorkflowExecutionCancelRequested")
    assert (await child.describe())["status"] == "running"
    await ended_by(engine, child_id, "end")


HELD = """
local function main(wait)
  process.set_options({interrupt_on_cancel = true})
  local value, err = process.with_options({
    ["workflow.id"] = "child", ["workflow.wait_for_cancellation"] = wait,
  }):exec("app:slow", "app:worker")
  return {value = value, kind = err and err:kind()}
end
"""
SLOW = """
local function main()
  process.events():receive()
  process.listen("end"):receive()
  return "cleaned up"
end
"""


async def test_wait_for_cancellation_waits_for_the_child(make_engine: Make) -> None:
    """A cancelled parent tells the child, and goes on only when that one is over."""
    engine = await engine_of(make_engine, {"held": HELD, "slow": SLOW})
    parent = await engine.start("held", True)
    await until(engine, parent, "ChildWorkflowExecutionStarted")
    await parent.cancel()
    child = engine.client.get_handle("child")
    child.run_id = (await child.describe())["run_id"]
    await until(engine, child, "WorkflowExecutionCancelRequested")
    await until(engine, parent, "ExternalWorkflowExecutionCancelRequested")
    assert (await parent.describe())["status"] == "running"
    await child.signal("end")
    assert await within(parent.result()) == {"value": "cleaned up"}


async def test_without_it_a_cancelled_parent_goes_on(make_engine: Make) -> None:
    """Its wait ends at once; the child hears of it and takes its time."""
    engine = await engine_of(make_engine, {"held": HELD, "slow": SLOW})
    parent = await engine.start("held", False)
    await until(engine, parent, "ChildWorkflowExecutionStarted")
    await parent.cancel()
    assert await within(parent.result()) == {"kind": "Canceled"}


async def test_custom_names_and_entry_ids_are_one_type(make_engine: Make) -> None:
    """A workflow with a name of its own is started by either (GAP-1), by clients and parents."""
    engine = await make_engine(simulated=True)
    await engine.deploy(SOURCES)
    index = engine.folder / "_index.json"
    text = index.read_text().replace(
        '"meta":{"temporal":{"workflow":{"worker":"worker"}}}',
        '"meta":{"temporal":{"workflow":{"worker":"worker","name":"shop:named"}}}',
        2,
    )
    text = text.replace('"name":"shop:named"', '"name":"shop:waiting"', 1)
    index.write_text(text)
    await engine.deploy()
    await engine.scheduler()
    await engine.worker()
    for name in ("app:echo", "shop:named"):
        handle = await engine.client.start(name)
        assert (await within(handle.result()))["info"]["workflow_type"] == "shop:named"
        handle = await engine.start("spawn", name, {}, None, None, True)
        assert (await within(handle.result()))["info"]["workflow_type"] == "shop:named"


ATTRS = """
local workflow = require("workflow")
local function main()
  workflow.attrs({search = {stage = "second", score = 2.5, tags = {"a", "b"}}})
  process.inbox():receive()
end
"""


@proves(
    mutant("includes/other_operations", "  remove_attributes(rcall(", "  tostring(rcall("),
    mutant("includes/other_operations", "  add_attributes(ARGV[i + 1], start)\n", "\n"),
)
async def test_lists_go_by_search_attributes(make_engine: Make) -> None:
    """Those of the start and those set since; the index has what describe shows."""
    engine = await engine_of(make_engine, {"attrs": ATTRS, "echo": ECHO})
    given = {"stage": "first", "vip": True, "size": -3}
    handle = await engine.start("attrs", id="w", search_attributes=given)
    await engine.execute("echo", search_attributes={"stage": "first", "size": 10})
    await until(engine, handle, "UpsertWorkflowSearchAttributes")

    async def ids(query: str) -> int:
        found = await engine.client.list(query)
        assert len(found["workflows"]) == await engine.client.count(query)
        return len(found["workflows"])

    for query, number in {
        "stage = 'first'": 1,
        "stage = 'second'": 1,
        "tags = 'b' AND status = running": 1,
        "tags = 'c'": 0,
        "score > 2 AND score <= 2.5": 1,
        "size < 0": 1,
        "size = 10.0": 1,
        "vip = true": 1,
        "vip = 'true'": 0,
        "stage != 'first'": 1,
        "`stage` = 'first' AND type = 'app:echo'": 1,
        "status = completed AND size >= -3": 1,
        "StartTime > '2000-01-01T00:00:00Z' AND CloseTime > '2000-01-01T00:00:00Z'": 1,
        "WorkflowId = 'w' AND stage = 'second'": 1,
        "WorkflowId = 'w' AND stage = 'first'": 0,
        "TaskQueue = 'q'": 2,
        f"RunId = '{handle.run_id}'": 1,
    }.items():
        assert await ids(query) == number, query
    await handle.terminate()


async def test_options_that_contradict_each_other(make_engine: Make) -> None:
    """A cron says when the first run begins: it takes no start delay."""
    engine = await make_engine()
    await engine.deploy({"echo": ECHO})
    with pytest.raises(InvalidArgument, match="start_delay must not be given with"):
        await engine.start("echo", cron_schedule="@hourly", start_delay="1m")
    await engine.start("echo", id="w")
    with pytest.raises(AlreadyExists):
        await engine.start("echo", id="w", id_conflict_policy="fail")
    await engine.client.get_handle("w").terminate()


@proves(
    mutant("includes/lend", "due = math.min(due, server_now + limit)", "due = due"),
    mutant("renew_task", "if v[6] and waits == 0 then", "if false then"),
    mutant("includes/next", "'limit') or '0')", "'limits') or '0')"),
)
async def test_a_workflow_task_has_its_time(hand: Hand) -> None:
    """A worker that takes longer cannot keep it: another one gets it, in every run of its chain."""
    route = await hand.start(limit=4_000)
    task = await hand.take(route)
    p = route.partition
    renew = transitions.renew_task(partition=p, run_id=route.run_id, turn=task.turn, worker="a")
    lent, now = await hand.store.read(
        ("ZSCORE", p.leases, f"w|{route.run_id}"), ("HGET", p.meta, "vtime")
    )
    assert int(lent) - int(now) == 4_000
    await hand.shift(3_000)
    assert (await hand.store.one(renew))[0] == b"ok"
    await hand.shift(1_000)
    assert (await hand.expire(route))[0] == b"ok"
    assert (await hand.commit(task))[0] == b"turn"
    task = await hand.take(route, "b")
    await hand.carry_on(task, "n" * 32)
    following = route._replace(run_id="n" * 32)
    assert (await hand.state(following))["limit"] == "4000"


async def test_a_task_that_waits_for_local_activities_has_theirs(hand: Hand) -> None:
    """What runs inside of a task has timeouts of its own: the task is kept meanwhile."""
    route = await hand.start(limit=4_000)
    task = await hand.take(route)
    renew = transitions.renew_task(
        partition=route.partition, run_id=route.run_id, turn=task.turn, worker="a", waits=True
    )
    await hand.shift(3_000)
    assert (await hand.store.one(renew))[0] == b"ok"
    await hand.shift(2_000)
    assert (await hand.expire(route))[0] == b"early"
    assert (await hand.commit(task))[0] == b"ok"
