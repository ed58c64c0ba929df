"""Workflow retries: a run that fails closes, its next try opens in the same script (design 3, 5).

The rules of a chain: one run open at any time, nothing lost between two of them, its parent told
once, a repeat answered alike.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from tests.protocol.hand import Hand
from tests.support.engine import Engine, Make, within
from tests.support.mutants import mutant, patience, proves, replaced

from luaflow.client.handle import Handle
from luaflow.errors import AlreadyExists, WorkflowFailed
from luaflow.store import chains as doors
from luaflow.store import transitions
from luaflow.store.link import Call
from luaflow_worker import ending, steps

POLICY = {"initial_interval": "10s", "maximum_attempts": 3}
NEXT = "n" * 32

FAIL = """
local workflow, errors = require("workflow"), require("errors")
local function main(until_attempt, kind, retryable)
  local attempt = workflow.info().attempt
  if attempt < until_attempt then
    return nil, errors.new({
      message = "try " .. attempt, kind = kind or "Unavailable", retryable = retryable,
    })
  end
  return {attempt = attempt, run = workflow.info().run_id}
end
"""
MODULES = {"fail": FAIL}


async def engine_of(make: Make, sources: dict[str, str] | None = None) -> Engine:
    """A simulated namespace with a worker and a scheduler."""
    engine = await make(simulated=True)
    await engine.deploy(sources or MODULES)
    await engine.scheduler()
    await engine.worker()
    return engine


async def closed(engine: Engine, handle: Handle, run_id: str) -> dict[str, Any]:
    """Wait for the end of a run of the chain; the body of its last event."""
    one = engine.client.get_handle(handle.workflow_id, run_id)
    async for event in one.history(follow=True):
        if event.type.startswith("WorkflowExecution") and event.type not in (
            "WorkflowExecutionStarted",
            "WorkflowExecutionSignaled",
        ):
            return {"type": event.type, **event.body}
    raise AssertionError("it has no end")


async def test_a_run_is_tried_again_after_its_back_off(make_engine: Make) -> None:
    """Attempts grow, the pause is kept to the millisecond, result and handle follow the chain."""
    engine = await engine_of(make_engine)
    handle = await engine.start(
        "fail",
        3,
        id="w",
        options={"workflow.retry_policy": POLICY},
        memo={"who": "me"},
        search_attributes={"city": "Rome"},
        context={"user": "ana"},
    )
    first = await within(closed(engine, handle, str(handle.run_id)))
    assert first["type"] == "WorkflowExecutionFailed"
    assert first["retry_state"] == "in_progress"
    second = first["new_run_id"]
    assert (await engine.fields(Handle(engine.store, handle._session, "w", second)))["task"] == (
        "backoff"
    )
    await engine.shift(9_999)
    found = await engine.client.get_handle("w").describe()
    assert (found["run_id"], found["attempt"], found["memo"]) == (second, 2, {"who": "me"})
    assert (found["status"], found["history_length"]) == ("running", 1)
    begins, begun = map(datetime.fromisoformat, (found["first_task_time"], found["start_time"]))
    assert begins - begun == timedelta(seconds=10)
    await engine.shift(1)
    again = await within(closed(engine, handle, second))
    assert again["failure"]["message"] == "try 2"
    await engine.shift(20_000)
    result = await handle.result(timeout=patience())
    assert result == {"attempt": 3, "run": again["new_run_id"]}
    started = (await engine.history(engine.client.get_handle("w")))[0].body
    assert started["first_run_id"] == handle.run_id
    assert (started["continued_from"], started["initiator"]) == (second, "retry")
    assert started["continued_failure"]["message"] == "try 2"
    assert started["context"] == {"user": "ana"}
    assert (started["input"], started["task_queue"]) == ([3], "q")
    assert await engine.client.count("city = 'Rome'") == 3


async def test_the_last_try_is_the_end(make_engine: Make) -> None:
    """With no attempts left the failure is the chain's, and says why it was not tried again."""
    engine = await engine_of(make_engine)
    policy = {"initial_interval": 1, "maximum_attempts": 2}
    handle = await engine.start("fail", 9, id="w", options={"workflow.retry_policy": policy})
    first = await within(closed(engine, handle, str(handle.run_id)))
    await engine.shift(1)
    with pytest.raises(WorkflowFailed, match="try 2"):
        await handle.result(timeout=patience())
    last = await closed(engine, handle, first["new_run_id"])
    assert last["retry_state"] == "maximum_attempts_reached"
    assert "new_run_id" not in last


@pytest.mark.parametrize(
    ("kind", "retryable", "policy"),
    [
        ("Invalid", None, {"non_retryable_error_types": "Invalid"}),
        ("Unavailable", False, {}),
        ("Canceled", None, {}),
    ],
)
async def test_what_is_not_tried_again(
    make_engine: Make, kind: str, retryable: bool | None, policy: dict[str, Any]
) -> None:
    """A kind the policy names, an error that says so itself, and a run that was cancelled."""
    engine = await engine_of(make_engine)
    options = {"workflow.retry_policy": {**POLICY, **policy}}
    with pytest.raises(WorkflowFailed, match="try 1") as caught:
        await engine.execute("fail", 3, kind, retryable, options=options)
    assert caught.value.status == ("canceled" if kind == "Canceled" else "failed")


async def test_the_execution_timeout_bounds_the_chain(make_engine: Make) -> None:
    """A try that would begin after it is not made; the deadline is the first run's."""
    engine = await engine_of(make_engine)
    options = {"workflow.retry_policy": POLICY, "workflow.execution_timeout": "25s"}
    handle = await engine.start("fail", 9, id="w", options=options)
    first = await within(closed(engine, handle, str(handle.run_id)))
    p = engine.store.partition("w")
    begun = (await engine.history(handle))[0].ts
    (score,) = await engine.store.read(("ZSCORE", p.timers, f"X|{first['new_run_id']}"))
    assert int(score) == begun + 25_000
    await engine.shift(10_000)
    last = await within(closed(engine, handle, first["new_run_id"]))
    assert last["retry_state"] == "timeout"
    with pytest.raises(WorkflowFailed, match="try 2"):
        await handle.result(timeout=patience())


SLOW = """
local workflow = require("workflow")
local function main()
  if workflow.info().attempt == 1 then process.listen("never"):receive() end
  return process.inbox():receive():topic()
end
"""


async def test_a_run_out_of_its_time_is_tried_again(make_engine: Make) -> None:
    """The run timeout counts for each try; messages nobody took are there for the next one."""
    engine = await engine_of(make_engine, {"slow": SLOW})
    options = {"workflow.retry_policy": POLICY, "workflow.run_timeout": "5s"}
    handle = await engine.start("slow", id="w", options=options)
    await engine.until(handle, "WorkflowTaskCompleted")
    await handle.signal("unread")
    await engine.shift(5_000)
    first = await within(closed(engine, handle, str(handle.run_id)))
    assert (first["type"], first["retry_state"]) == ("WorkflowExecutionTimedOut", "in_progress")
    assert first["failure"]["kind"] == "Timeout"
    second = first["new_run_id"]
    p = engine.store.partition("w")
    (due,) = await engine.store.read(("ZSCORE", p.timers, f"x|{second}"))
    (task,) = await engine.store.read(("ZSCORE", p.timers, f"f|{second}"))
    assert int(due) - int(task) == 5_000
    await engine.shift(10_000)
    assert await handle.result(timeout=patience()) == "unread"


@proves(
    mutant("includes/open", "if at > now then", "if at > now and #ARGV == 0 then"),
    mutant("includes/open", "    r.task = 'backoff'\n", "    r.task = 'delayed'\n"),
)
async def test_a_message_does_not_cut_the_back_off_short(make_engine: Make) -> None:
    """It is in the history of the next try, for that one to take, and wakes nobody."""
    engine = await engine_of(make_engine, {"slow": SLOW.replace("process.listen", "error")})
    handle = await engine.start("slow", id="w", options={"workflow.retry_policy": POLICY})
    first = await within(closed(engine, handle, str(handle.run_id)))
    await handle.signal("between")
    second = engine.client.get_handle("w", first["new_run_id"])
    assert [e.type async for e in second.history()] == [
        "WorkflowExecutionStarted",
        "WorkflowExecutionSignaled",
    ]
    assert (await engine.fields(second))["task"] == "backoff"
    await engine.shift(10_000)
    assert await handle.result(timeout=patience()) == "between"


def chained(hand: Hand, task: Any, **how: Any) -> Call:
    """The call of a worker that closes a run which is tried again."""
    body = {"v": 1, "type": "t", "workflow_id": task.route.workflow_id, "run_id": NEXT}
    return transitions.continue_as_new(
        **{
            "route": task.route,
            "cid": "a.9",
            "turn": task.turn,
            "seen": task.seen,
            "worker": task.worker,
            "decision": orjson.dumps({"seen": task.seen, "worker": "a", "ended": "failed"}),
            "closing": orjson.dumps({"failure": {}, "new_run_id": NEXT}),
            "next_run": NEXT,
            "type": "t",
            "bundle": "b",
            "attempt": 2,
            "run_timeout": 0,
            "started": orjson.dumps(body),
            "unread": (),
            "operations": (),
            "others": (),
            "status": "failed",
            "at": -1000,
            **how,
        }
    )


@proves(
    mutant("includes/next", "  open_run({", "  select('#', {"),
    mutant("continue_as_new", "for _, e in ipairs(late) do carry(e) end\n", "\n"),
    mutant(
        "includes/next", "close_run(r, n.ended, n.kind", "close_run(r, 'continued_as_new', n.kind"
    ),
)
async def test_one_script_closes_and_opens(hand: Hand) -> None:
    """The next try is there with the end of the one before, with what came meanwhile."""
    route, _ = await hand.idle()
    await hand.tell(route, "unread")
    task = await hand.take(route)
    await hand.tell(route, "late")
    answer = await hand.store.one(chained(hand, task, unread=[task.seen]))
    assert answer[0] == b"ok"
    assert (await hand.types(route))[-1] == "WorkflowExecutionFailed"
    assert (await hand.state(route))["status"] == "failed"
    following = route._replace(run_id=NEXT)
    names = [e.body["name"] for e in (await hand.events(following))[1:]]
    assert names == ["unread", "late"]
    state = await hand.state(following)
    assert (state["attempt"], state["task"], state["first"]) == ("2", "backoff", route.run_id)
    assert (await hand.store.route("w")).run_id == NEXT
    with pytest.raises(AssertionError, match="exists"):
        await hand.start("w")


@proves(mutant("includes/decide", "if r.cid == cid then", "if false then"))
async def test_a_repeat_opens_nothing(hand: Hand) -> None:
    """The answer was lost: it is given again, and there is one next run (3.3)."""
    route, _ = await hand.idle()
    await hand.tell(route)
    task = await hand.take(route)
    first = await hand.store.one(chained(hand, task))
    assert await hand.store.one(chained(hand, task, next_run="m" * 32)) == first
    (there,) = await hand.store.read(("EXISTS", route.partition.run("m" * 32)))
    assert not there


def out_of_time(route: Any, next_run: str = NEXT) -> Call:
    """The call of a scheduler for a run whose run timeout is over."""
    return doors.retry_run(
        route=route,
        next_run=next_run,
        type="t",
        bundle="b",
        attempt=2,
        run_timeout=1000,
        started=orjson.dumps({"v": 1, "workflow_id": "w", "run_id": next_run}),
        closing=b'{"failure":{}}',
        at=-1000,
    )


@proves(
    mutant("retry_run", "or due > now or", "or"),
    mutant("retry_run", "if r.status ~= 'running' then", "if false then"),
    mutant("retry_run", "for _, e in ipairs(late) do carry(e) end", "local _"),
    mutant("retry_run", "carry(rcall('XRANGE', hist_key, id, id)[1])", "local _"),
)
async def test_two_schedulers_make_one_next_run(hand: Hand) -> None:
    """Not before its time, and once; unread and late messages pass on, in order (3.5)."""
    route, task = await hand.idle("w", run_timeout=1000)
    await hand.tell(route, "unread")
    task = await hand.take(route)
    await hand.commit(task, "U", str(task.seen))
    await hand.tell(route, "late")
    await hand.shift(999)
    assert (await hand.store.one(out_of_time(route)))[0] == b"early"
    await hand.shift(1)
    assert (await hand.store.one(out_of_time(route)))[0] == b"ok"
    assert (await hand.store.one(out_of_time(route, "m" * 32)))[0] == b"closed"
    events = await hand.events(route._replace(run_id=NEXT))
    assert [e.body["name"] for e in events[1:]] == ["unread", "late"]
    assert (await hand.store.route("w")).run_id == NEXT


@proves(mutant("retry_run", "local sliced = #late > room", "local sliced = false"))
async def test_many_messages_pass_on_in_slices(hand: Hand) -> None:
    """A run out of its time with more than 500 messages: slices carry them all (3.5)."""
    route, _ = await hand.idle("w", run_timeout=1000)
    await hand.tell_many(route, [f"m{n}" for n in range(1200)])
    await hand.shift(1000)
    assert (await hand.store.one(out_of_time(route)))[0] == b"ok"
    await hand.check()
    assert (await hand.end(route._replace(run_id=NEXT)))[0] == b"gone"
    last = 0
    while not last:
        _, _, last = await hand.slice(route)
    assert (await hand.types(route))[-1] == "WorkflowExecutionTimedOut"
    assert (await hand.state(route))["status"] == "timed_out"
    following = route._replace(run_id=NEXT)
    names = [e.body["name"] for e in (await hand.events(following))[1:]]
    assert names == [f"m{n}" for n in range(1200)]
    assert (await hand.state(following))["task"] == "backoff"


PARENT = """
local function main(policy)
  local pid = process.with_options({["workflow.id"] = "child", ["workflow.retry_policy"] = policy})
    :spawn("app:fail", "app:worker", 3)
  local events, seen = process.events(), {}
  local event = events:receive()
  seen[1] = event.result.value and event.result.value.attempt
  local more = channel.select({events:case_receive(), default = true})
  return {seen = seen, more = not more.default}
end
"""


def _final(place: Any, decision: Any) -> Any:
    return _HOW(place, decision)._replace(following=None)


_HOW = ending.how_it_ends


@proves(replaced(steps, "how_it_ends", _final))
async def test_a_parent_hears_of_the_end_of_the_chain(make_engine: Make) -> None:
    """A child is tried again like any run; its parent sees one child, and one end of it."""
    engine = await engine_of(make_engine, {**MODULES, "parent": PARENT})
    handle = await engine.start("parent", POLICY)
    child = engine.client.get_handle("child")
    await engine.until(handle, "ChildWorkflowExecutionStarted")
    run_id = (await child.describe())["run_id"]
    first = await within(closed(engine, child, (await first_of(engine, "child", run_id))))
    await engine.shift(10_000)
    await within(closed(engine, child, first["new_run_id"]))
    await engine.shift(20_000)
    assert await handle.result(timeout=patience()) == {"seen": [3], "more": False}
    types = await engine.types(handle)
    assert sum(t.startswith("ChildWorkflowExecutionCompleted") for t in types) == 1
    assert not any("ChildWorkflowExecutionFailed" in t for t in types)


async def first_of(engine: Engine, workflow_id: str, run_id: str) -> str:
    """The first run of a chain."""
    p = engine.store.partition(workflow_id)
    (first,) = await engine.store.read(("HGET", p.run(run_id), "first"))
    return bytes(first).decode()


async def test_a_chain_is_one_workflow_for_everybody(make_engine: Make) -> None:
    """Between two tries its id is taken, a cancel reaches it, terminate ends it for good."""
    engine = await engine_of(make_engine)
    handle = await engine.start("fail", 9, id="w", options={"workflow.retry_policy": POLICY})
    await within(closed(engine, handle, str(handle.run_id)))
    with pytest.raises(AlreadyExists):
        await engine.start("fail", 1, id="w", options={"workflow.id_conflict_policy": "fail"})
    await handle.cancel("late")
    await handle.terminate("enough")
    with pytest.raises(WorkflowFailed) as caught:
        await handle.result(timeout=patience())
    assert caught.value.status == "terminated"
    listed = (await engine.client.list("WorkflowId = 'w'"))["workflows"]
    assert [run["status"] for run in listed] == ["terminated"]


LOOK = """
local function main(id, policy)
  local value, err = process.with_options({
    ["workflow.id"] = "child", ["workflow.retry_policy"] = policy,
  }):exec(id, "app:worker", 9)
  return {kind = err:kind(), retryable = err:retryable(), details = err:details()}
end
"""


async def test_a_parent_learns_which_child_failed_and_why_for_good(make_engine: Make) -> None:
    """The error names the child and says why it was not tried again (contract 9.3)."""
    engine = await engine_of(make_engine, {**MODULES, "look": LOOK})
    policy = {"maximum_attempts": 1}
    found = await within((await engine.start("look", "app:fail", policy)).result())
    run_id = (await engine.client.get_handle("child").describe())["run_id"]
    assert found == {
        "kind": "Unavailable",
        "retryable": True,
        "details": {
            "_wrapper": "child_workflow",
            "_workflow_id": "child",
            "_workflow_type": "app:fail",
            "_run_id": run_id,
            "_retry_state": "maximum_attempts_reached",
        },
    }


AGAIN = """
local workflow = require("workflow")
local function main(times)
  if times > 0 then return workflow.continue_as_new(times - 1) end
  if workflow.info().attempt == 1 then error("first") end
  return workflow.info().attempt
end
"""


async def test_continue_as_new_keeps_policy_and_deadline(make_engine: Make) -> None:
    """The next run is tried again as the first one would have been, within the same deadline."""
    engine = await engine_of(make_engine, {"again": AGAIN})
    options = {"workflow.retry_policy": POLICY, "workflow.execution_timeout": "1h"}
    handle = await engine.start("again", 2, id="w", options=options)
    begun = (await engine.history(handle))[0].ts
    first = await within(closed(engine, handle, str(handle.run_id)))
    second = await within(closed(engine, handle, first["new_run_id"]))
    third = await within(closed(engine, handle, second["new_run_id"]))
    assert third["type"] == "WorkflowExecutionFailed"
    p = engine.store.partition("w")
    (score,) = await engine.store.read(("ZSCORE", p.timers, f"X|{third['new_run_id']}"))
    assert int(score) == begun + 3_600_000
    await engine.shift(10_000)
    assert await handle.result(timeout=patience()) == 2


@proves(replaced(steps, "needs_task", lambda *_: False))
async def test_a_fused_step_makes_no_next_run(make_engine: Make) -> None:
    """A run that fails on what an activity returned is tried again the plain way, at once."""
    source = """
local funcs, workflow = require("funcs"), require("workflow")
local function main()
  funcs.call("app:work")
  if workflow.info().attempt == 1 then error("first") end
  return workflow.info().attempt
end
"""
    engine = await make_engine(simulated=True)
    await engine.deploy({"fused": source}, activities={"work": "local function main() end"})
    await engine.scheduler()
    worker = await engine.worker()
    handle = await engine.start("fused", id="w", options={"workflow.retry_policy": POLICY})
    await within(closed(engine, handle, str(handle.run_id)))
    await engine.shift(10_000)
    assert await handle.result(timeout=patience()) == 2
    assert worker.workflows._metrics._commits["fused", False].value == 0


THIRD = """
local workflow = require("workflow")
local function main()
  local inbox = process.inbox()
  if workflow.info().attempt == 2 then inbox:receive() end
  if workflow.info().attempt < 3 then error("down") end
  return {inbox:receive():topic(), inbox:receive():topic()}
end
"""


@proves(mutant("continue_as_new", "for i = rest, rest + carried - 1 do", "for i = 1, 0 do"))
async def test_what_nobody_takes_goes_through_all_tries(make_engine: Make) -> None:
    """In order, and without what a try before has taken (3.5)."""
    engine = await engine_of(make_engine, {"third": THIRD})
    handle = await engine.start("third", id="w", options={"workflow.retry_policy": POLICY})
    first = await within(closed(engine, handle, str(handle.run_id)))
    for name in ("taken", "one", "two"):
        await handle.signal(name)
    await engine.shift(10_000)
    await within(closed(engine, handle, first["new_run_id"]))
    await engine.shift(20_000)
    assert await handle.result(timeout=patience()) == ["one", "two"]
