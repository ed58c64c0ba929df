"""Firing: what is due in namespace time: timers, retries, timeouts, delays."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from luaflow.domain.chains import End, closing_body
from luaflow.domain.messages import child_outcome
from luaflow.store import attempts, jobs, transitions
from luaflow.store.courier import Courier
from luaflow.store.link import Call
from luaflow.store.transitions import Route
from luaflow_scheduler.chaining import next_run_call, timed_out
from luaflow_scheduler.dates import Date, State, Step
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.verdicts import out_of_time, run_out_of_time


class Firing:
    """Turns due dates of the ``timers`` set into transitions."""

    def __init__(self, courier: Courier, metrics: SchedulerMetrics) -> None:
        self._courier = courier
        self._metrics = metrics

    def step(self, date: Date, state: State, now: int) -> Step | None:
        """The transition a date asks for at namespace time ``now``; None when it means nothing."""
        if not state.running:
            return None
        match date.kind:
            case "t":
                return self._timer(date, state, now)
            case "d" | "f" | "g":
                return Step(
                    date,
                    state.route,
                    lambda r: transitions.wake_run(route=r, kind=date.kind),
                    _nothing,
                )
            case "r":
                return self._retry(date, state)
            case "c":
                return self._activity_out_of_time(date, state)
            case "x" | "X":
                return self._run_out_of_time(date, state, now)
        return None

    def _timer(self, date: Date, state: State, now: int) -> Step:
        body = orjson.dumps({"seq": int(date.seq)})

        def make(route: Route) -> Call:
            return transitions.fire_timer(route=route, seq=date.seq, body=body)

        return Step(date, state.route, make, lambda: self._metrics.fired((now - date.due) / 1000))

    @staticmethod
    def _retry(date: Date, state: State) -> Step | None:
        record = state.record
        if record is None:
            return None
        call = attempts.queue_activity(
            partition=state.route.partition,
            run_id=date.run_id,
            queue=str(state.options.get("queue") or state.route.queue),
            seq=date.seq,
            attempt=record.attempt,
            state="b",
            schedule_to_start=int(state.options.get("s2s", 0)),
        )
        return Step(date, state.route, lambda _: call, _nothing)

    def _activity_out_of_time(self, date: Date, state: State) -> Step | None:
        record = state.record
        if record is None:
            return None
        end = out_of_time(state.last_failure)
        (kind, body), proof = end.event(date.seq, record.attempt), state.proof(date)

        def make(route: Route) -> Call:
            return jobs.end_activity(route=route, seq=date.seq, proof=proof, type=kind, body=body)

        return Step(date, state.route, make, lambda: self._metrics.activity_timed_out(end.kind))

    def _run_out_of_time(self, date: Date, state: State, now: int) -> Step:
        failure = run_out_of_time(date.kind)
        end = End("timed_out", {"failure": failure.to_json()})
        if state.first is not None:
            end = timed_out(state.first, failure, now)
        if state.first is not None and end.following:
            call = next_run_call(state.first, end, end.following)
            return Step(date, state.route, call, self._metrics.run_timed_out)
        slot = closing_body(end, "")
        parent, route = state.parent, state.route
        told, receiver = b"", None
        if parent:
            receiver = int(parent["p"])
            told = child_outcome(
                parent, route.workflow_id, route.run_id, "timed_out", end.slot, end.state
            )

        def make(route: Route) -> Call:
            return transitions.end_run(
                route=route,
                kind=date.kind,
                status="timed_out",
                type="WorkflowExecutionTimedOut",
                body=orjson.dumps(slot)[:-1],
                receiver=receiver,
                message=told,
            )

        def done() -> None:
            self._metrics.run_timed_out()
            if receiver is not None:
                self._courier.tell(route.partition.number, [receiver])

        return Step(date, route, make, done)


def _none() -> None:
    return None


_nothing: Callable[[], None] = _none
