"""Traces: one from the client to the last activity, none of a replay, none in what code sees."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
import pytest
from tests.support.clock import shift
from tests.support.engine import Engine, until
from tests.support.mutants import proves, replaced
from tests.support.spans import (
    Spans,
    hex_of,
    links_of,
    needs_sdk,
    parent_of,
    spans,
    trace_of,
)

from luaflow import SyncClient
from luaflow.domain.chains import CRON, RETRY, Following, first_event_of_next
from luaflow.domain.events import Event
from luaflow.domain.headers import PARENT, linked, read_headers
from luaflow.domain.schedules import Plan
from luaflow.errors import NotFound, WorkflowFailed
from luaflow.observe import tracing
from luaflow_worker import spans as worker_spans

__all__ = ["spans"]

ORDER = """
local function main(order)
  local funcs, workflow = require('funcs'), require('workflow')
  local paid = funcs.call('app:charge', 7)
  local sent = funcs.call('app:ship', order.attempts or 1)
  local told = workflow.exec('app:tell', 'ada')
  return { paid = paid, sent = sent, told = told }
end
"""
TELL = """
local function main(name)
  local funcs = require('funcs')
  return funcs.call('app:mail', name)
end
"""
MAIL = """
local function main(name)
  return require('activity').info().traceparent
end
"""
NAPS = """
local function main()
  local time, funcs = require('time'), require('funcs')
  time.sleep('2h')
  funcs.call('app:mail', 'ada')
  return true
end
"""
ROUNDS = """
local function main(left)
  local workflow, funcs = require('workflow'), require('funcs')
  funcs.call('app:mail', 'ada')
  if left > 0 then return workflow.continue_as_new(left - 1) end
  return left
end
"""
LISTENS = """
local function main()
  local process = require('process')
  local got = process.inbox():receive()
  return got:topic()
end
"""
HANDLERS = {"charge": "tests.support.spans:charge", "ship": "tests.support.spans:ship"}
GIVEN = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
VOLATILE = ("run_id", "first_run_id", "workflow_id", "worker", "identity", "pid", "headers", "ts")


async def shop(engine: Engine, *workers: str) -> None:
    flows = {"order": ORDER, "tell": TELL, "naps": NAPS, "rounds": ROUNDS, "listens": LISTENS}
    await engine.deploy(flows, activities={"mail": MAIL}, python=HANDLERS)
    for role in workers:
        await engine.worker(role)
    await engine.scheduler()


def tree(spans: Spans) -> dict[str, str]:
    """Name of each span -> name of the one it is under."""
    names = {hex_of(span): span.name for span in spans.all()}
    return {span.name: names.get(parent_of(span), "") for span in spans.all()}


@needs_sdk
@proves(replaced(worker_spans, "read_headers", lambda _: None))
async def test_one_trace_from_the_client_to_the_last_activity(engine: Engine, spans: Spans) -> None:
    """Client, decisions, activities in Python and Lua, code of users, a child: one tree."""
    from opentelemetry import trace

    await shop(engine, "workflow", "activity")
    with trace.get_tracer("shop").start_as_current_span("checkout"):
        result = await engine.execute("order", {}, id="o")
    await engine.stop()
    assert len({trace_of(span) for span in spans.all()}) == 1
    found = tree(spans)
    assert found["StartWorkflow:app:order"] == "checkout"
    assert found["RunWorkflow:app:order"] == "StartWorkflow:app:order"
    assert found["RunActivity:app:charge"] == "RunWorkflow:app:order"
    assert found["RunActivity:app:ship"] == "RunWorkflow:app:order"
    assert found["RunWorkflow:app:tell"] == "RunWorkflow:app:order"
    assert found["RunActivity:app:mail"] == "RunWorkflow:app:tell"
    assert found["bank"] == "RunActivity:app:charge"
    for name, where in (("charge", "paid"), ("ship", "sent"), ("mail", "told")):
        assert result[where][36:52] == hex_of(spans.one(f"RunActivity:app:{name}"))


@needs_sdk
async def test_spans_say_what_they_are_of(engine: Engine, spans: Spans) -> None:
    """The attributes of messaging, and ours."""
    await shop(engine, "all")
    handle = await engine.start("order", {}, id="o")
    await handle.result(10)
    await engine.stop()
    ours = {"luaflow.workflow_id": "o", "luaflow.run_id": handle.run_id}
    ours |= {"luaflow.workflow": "app:order"}
    ours |= {"messaging.system": "luaflow", "messaging.destination.name": "q"}
    assert dict(spans.one("StartWorkflow").attributes or {}) == ours
    for task in spans.all("RunWorkflow:app:order"):
        assert dict(task.attributes or {}) == ours | {"luaflow.attempt": 1}
    attempt = {"luaflow.attempt": 1, "luaflow.activity": "app:charge"}
    assert dict(spans.one("RunActivity:app:charge").attributes or {}) == ours | attempt


@needs_sdk
@proves(replaced(worker_spans, "attempt_ended", lambda *_: None))
async def test_what_fails_says_so(engine: Engine, spans: Spans) -> None:
    """A failed attempt has the status of an error, the next one not; so has the end of a run."""
    policy = "{initial_interval = 1, maximum_attempts = 2}"
    flow = f"""local function main(n)
      local tries = require('funcs').new():with_options({{['activity.retry_policy'] = {policy}}})
      local sent, err = tries:call('app:ship', n)
      if err then return nil, err end
      return sent
    end"""
    await engine.deploy({"again": flow}, python=HANDLERS)
    await engine.worker()
    await engine.scheduler()
    await engine.execute("again", 2)
    with pytest.raises(WorkflowFailed):
        await engine.execute("again", 3)
    await engine.stop()
    attempts = spans.all("RunActivity:app:ship")
    states = [((s.attributes or {})["luaflow.attempt"], s.status.is_ok) for s in attempts]
    assert states == [(1, False), (2, True), (1, False), (2, False)]
    assert attempts[0].status.description == "RuntimeError: no van"
    tasks = [span.status.is_ok for span in spans.all("RunWorkflow:app:again")]
    assert tasks == [True, True, True, False]


@needs_sdk
async def test_a_start_that_is_refused_is_an_error(engine: Engine, spans: Spans) -> None:
    """Nobody deployed it."""
    await shop(engine)
    with pytest.raises(NotFound):
        await engine.start("nothing")
    assert "NotFound" in (spans.one("StartWorkflow:app:nothing").status.description or "")


@needs_sdk
async def test_the_blocking_client_is_in_the_trace_of_its_caller(
    engine: Engine, spans: Spans
) -> None:
    """Though its work is done on another thread."""
    from opentelemetry import trace

    await shop(engine)

    def start() -> None:
        tracer = trace.get_tracer("shop")
        where = (engine.store.url, engine.store.namespace)
        with SyncClient.connect(*where) as client, tracer.start_as_current_span("checkout"):
            client.start("app:tell", "ada", id="t").signal("go")

    await asyncio.to_thread(start)
    found = tree(spans)
    assert found["StartWorkflow:app:tell"] == found["SignalWorkflow:go"] == "checkout"
    await engine.client.get_handle("t").terminate()


def plain(history: list[Event]) -> list[tuple[str, Any]]:
    """A history without what differs between two runs of the same code."""

    def without(found: Any) -> Any:
        if isinstance(found, dict):
            return {k: without(v) for k, v in found.items() if k not in VOLATILE}
        return found

    return [(event.type, without(event.body)) for event in history]


@pytest.mark.heavy
@needs_sdk
@pytest.mark.parametrize("when", ["on_start", "on_end"])
@proves(replaced(worker_spans, "_harmless", contextlib.nullcontext))
async def test_a_broken_processor_stops_nobody(
    engine: Engine, spans: Spans, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the user's part of it does, work goes on; the log says what is lost."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    await shop(engine)
    handle = await engine.start("tell", "ada", id="t")
    await engine.worker()
    monkeypatch.setattr(SimpleSpanProcessor, when, _broken)
    assert isinstance(await handle.result(10), str)
    await engine.stop()


def _broken(*_: object) -> None:
    raise RuntimeError("broken")


@needs_sdk
async def test_the_history_is_the_same_without(engine: Engine, spans: Spans) -> None:
    """But for the headers nothing in a history tells whether somebody traced; both replay."""
    await engine.deploy(
        {"flow": NAPS.replace("2h", "1ms")},
        activities={"mail": "local function main() return 1 end"},
    )
    worker = await engine.worker()
    await engine.scheduler()
    traced = await engine.start("flow", id="a")
    await traced.result(10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_tracer", lambda: None)
        untraced = await engine.start("flow", id="b")
        await untraced.result(10)
    with_, without = await engine.history(traced), await engine.history(untraced)
    assert plain(with_) == plain(without)
    assert [e for e in with_ if "headers" in e.body]
    assert not [e for e in without if "headers" in e.body]
    await engine.retire(worker)


@needs_sdk
async def test_nothing_is_stored_where_nobody_traces(engine: Engine) -> None:
    """The SDK is installed, and no provider is set."""
    await shop(engine, "all")
    handle = await engine.start("tell", "ada")
    assert await handle.result(10) == ""
    assert not [e for e in await engine.history(handle) if b"headers" in e.raw]


@needs_sdk
async def test_a_replay_makes_no_spans(engine: Engine, spans: Spans) -> None:
    """After a crash the code runs again from its start; what is traced is what was decided."""
    await shop(engine)
    worker = await engine.worker()
    handle = await engine.start("naps", id="n")
    await until(engine, handle, "TimerStarted")
    await engine.kill(worker)
    await engine.worker()
    before = len(spans.all())
    await shift(engine.store, 2 * 3_600_000)
    await handle.result(10)
    await engine.stop()
    decided = (await engine.types(handle)).count("WorkflowTaskCompleted")
    assert decided == len(spans.all("RunWorkflow:app:naps"))
    assert before >= 2


@needs_sdk
@proves(replaced(worker_spans, "HOUR_MS", 10**15))
async def test_after_an_hour_a_step_begins_a_trace_that_links(engine: Engine, spans: Spans) -> None:
    """A trace of months is no trace: the step after a long sleep links to the start."""
    await shop(engine, "all")
    handle = await engine.start("naps", id="n")
    await until(engine, handle, "TimerStarted")
    await shift(engine.store, 2 * 3_600_000)
    await handle.result(10)
    await engine.stop()
    first, second, *rest = spans.all("RunWorkflow:app:naps")
    start = spans.one("StartWorkflow")
    assert parent_of(first) == hex_of(start)
    assert (parent_of(second), links_of(second)) == ("", [hex_of(start)])
    assert trace_of(spans.one("RunActivity:app:mail")) == trace_of(second)
    assert {parent_of(span) for span in rest} == {hex_of(second)}


@needs_sdk
async def test_a_run_that_nobody_traced_has_one_trace(engine: Engine, spans: Spans) -> None:
    """Its first decision begins it; a worker that replays it finds that in the history."""
    await shop(engine)
    worker = await engine.worker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("luaflow.client.client.sending", lambda *_, **__: _Untraced())
        handle = await engine.start("listens", id="l")
    await until(engine, handle, "WorkflowTaskCompleted")
    await engine.kill(worker)
    await engine.worker()
    await handle.signal("go")
    assert await handle.result(10) == "go"
    await engine.stop()
    first, second = spans.all("RunWorkflow")
    assert parent_of(first) == ""
    assert parent_of(second) == hex_of(first)
    assert links_of(second) == [hex_of(spans.one("SignalWorkflow:go"))]


class _Untraced:
    """What ``sending`` gives where nobody traces."""

    def __enter__(self) -> tracing.Sending:
        return tracing.Sending(None)

    def __exit__(self, *_: object) -> None:
        """Nothing."""


@needs_sdk
async def test_continue_as_new_goes_on_with_the_trace(engine: Engine, spans: Spans) -> None:
    """And it says since when the trace goes on: a chain is no trace without an end."""
    await shop(engine, "all")
    handle = await engine.start("rounds", 1, id="r")
    assert await handle.result(10) == 0
    await engine.stop()
    assert len({trace_of(span) for span in spans.all()}) == 1
    route = await engine.store.route("r")
    (first, *_) = await engine.history(engine.client.get_handle("r", route.run_id))
    began = (await engine.history(handle))[0]
    assert first.body["headers"]["since"] == str(began.ts)


@needs_sdk
async def test_a_job_is_in_the_trace_of_who_asked(engine: Engine, spans: Spans) -> None:
    """A plain job has no workflow around it."""
    await shop(engine, "all")
    job = await engine.client.enqueue("app:mail", "ada", queue="q", id="j")
    run = await job.result(10)
    await engine.stop()
    span = spans.one("RunActivity:app:mail")
    assert parent_of(span) == hex_of(spans.one("EnqueueJob:app:mail"))
    assert run[36:52] == hex_of(span)
    attributes = dict(span.attributes or {})
    assert attributes["luaflow.job_id"] == "j"
    assert "luaflow.workflow_id" not in attributes


@needs_sdk
async def test_runs_of_a_schedule_link_to_who_made_it(engine: Engine, spans: Spans) -> None:
    """Each has a trace of its own."""
    from opentelemetry import trace

    await shop(engine, "all")
    with trace.get_tracer("shop").start_as_current_span("setup"):
        schedule = await engine.client.create_schedule("s", "app:tell", "ada", interval="1h")
    for _ in range(2):
        await schedule.trigger(overlap="allow_all")
    recent = (await schedule.describe())["recent_actions"]
    for action in recent:
        await engine.client.get_handle(action["workflow_id"]).result(10)
    await engine.stop()
    firsts = [span for span in spans.all("RunWorkflow:app:tell") if not span.parent]
    assert len({trace_of(span) for span in firsts}) == len(recent)
    setup = spans.one("setup")
    assert all(links_of(span) == [hex_of(setup)] for span in firsts)
    assert all(trace_of(span) != trace_of(setup) for span in firsts)


async def test_a_process_without_opentelemetry_passes_the_trace_on(engine: Engine) -> None:
    """From the request to the activity of the child; the code of activities may read it."""
    await shop(engine, "workflow", "activity")
    with tracing.incoming(GIVEN):
        handle = await engine.start("tell", "ada", id="t")
    assert await handle.result(10) == GIVEN[PARENT]
    events = {e.type: e.body for e in await engine.history(handle)}
    assert events["WorkflowExecutionStarted"]["headers"] == GIVEN
    assert events["ActivityTaskScheduled"]["headers"] == GIVEN


@pytest.mark.parametrize(
    "found",
    [
        None,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        {},
        {PARENT: 7},
        {PARENT: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"},
        {PARENT: "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {PARENT: "00-00000000000000000000000000000000-00f067aa0ba902b7-01"},
        {PARENT: "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"},
        {PARENT: GIVEN[PARENT] + "\n"},
    ],
)
def test_what_is_no_trace_is_none(found: object) -> None:
    """A broken header costs the trace, and nothing else."""
    assert read_headers(found) is None


def test_only_what_is_known_is_kept() -> None:
    """Others' baggage is not stored, nor a state that is too long."""
    state = {"tracestate": "a=1", "since": "17"}
    assert read_headers({**GIVEN, **state, "cookie": "x"}) == {**GIVEN, **state}
    assert read_headers({**GIVEN, "tracestate": "a" * 513, "since": "x"}) == GIVEN
    assert linked(GIVEN)["since"] == "0"
    assert orjson.loads(orjson.dumps(linked(GIVEN))) == linked(GIVEN)


@pytest.mark.parametrize("initiator", [CRON, RETRY])
@pytest.mark.parametrize("headers", [None, GIVEN])
def test_later_runs_of_a_chain_link(initiator: str, headers: dict[str, str] | None) -> None:
    """A cron goes on for years; schedulers, which know of no trace, open its runs, too."""
    started = {"run_id": "a", "type": "t"} | ({"headers": headers} if headers else {})
    body = first_event_of_next(
        started, Following(initiator, 1, 5), next_run="b", failure=None, deadline=0, bundle="x"
    )
    assert body.get("headers") == (linked(headers) if headers else None)


def test_a_plan_without_a_trace_is_what_it_was() -> None:
    """Older schedulers read it, and write what they know of it."""
    plan = Plan(type="t", spec={"interval": "1h"})
    assert "headers" not in plan.to_json()
    traced = Plan.from_json({**plan.to_json(), "headers": linked(GIVEN)})
    assert Plan.from_json(traced.to_json()) == traced
