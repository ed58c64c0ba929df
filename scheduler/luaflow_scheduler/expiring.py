"""Expiring: leases that ended in server time: tasks, attempts, tasks nobody took."""

from __future__ import annotations

import logging

import orjson

from luaflow.domain.retry import tried_again
from luaflow.observe.logs import run_fields
from luaflow.store import attempts, jobs, transitions
from luaflow.store.link import Call
from luaflow.store.transitions import Route
from luaflow_scheduler.dates import Date, State, Step
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.verdicts import End, Retry, attempt_due, not_started

log = logging.getLogger(__name__)


class Expiring:
    """Turns due dates of the ``leases`` set that are about a run into transitions."""

    def __init__(self, metrics: SchedulerMetrics) -> None:
        self._metrics = metrics

    def step(self, date: Date, state: State) -> Step | None:
        """The transition a date asks for; None when it means nothing (any more)."""
        if not state.running:
            return None
        if date.kind == "w":
            return self._task(date, state)
        if state.record is None:
            return None
        if date.kind == "s":
            verdict: End | Retry | None = not_started(state.record)
        else:
            verdict = attempt_due(state.record, date.due, state.options, state.last_failure)
        if verdict is None:
            return None
        if isinstance(verdict, Retry):
            return self._retry(date, state, verdict)
        return self._end(date, state, verdict)

    def _task(self, date: Date, state: State) -> Step:
        worker = state.worker or "unknown"
        message = (
            f"its workers went silent several times in a row, the last one was {worker}: look for "
            "a crash or an endless loop in its log; it is tried again after a minute, then two, at "
            "most every 16"
        )
        reason = {"reason": "lost", "worker": worker, "message": message}
        text = orjson.dumps(reason)

        def make(route: Route) -> Call:
            return transitions.expire_task(route=route, score=date.score, reason=text)

        kind = "sticky" if state.task == "sticky" else "task"
        return Step(date, state.route, make, lambda: self._metrics.lease_expired(kind))

    def _retry(self, date: Date, state: State, verdict: Retry) -> Step:
        call = attempts.retry_activity(
            partition=state.route.partition,
            run_id=date.run_id,
            seq=date.seq,
            proof=state.proof(date),
            delay=verdict.delay,
            failure=orjson.dumps(tried_again(verdict.failure).to_json()),
            parked=verdict.parked,
        )

        def done() -> None:
            self._count(verdict.kind)
            if verdict.parked:
                self._metrics.activity_parked()
                text, extra = "activity %s of workflow %s: %s", run_fields(state.route)
                log.error(text, *named, verdict.failure.message, extra=extra)

        named = (date.seq, state.route.workflow_id)
        return Step(date, state.route, lambda _: call, done)

    def _end(self, date: Date, state: State, verdict: End) -> Step:
        assert state.record is not None
        kind, body = verdict.event(date.seq, state.record.attempt)
        proof = state.proof(date)

        def make(route: Route) -> Call:
            return jobs.end_activity(route=route, seq=date.seq, proof=proof, type=kind, body=body)

        return Step(date, state.route, make, lambda: self._count(verdict.kind))

    def _count(self, kind: str) -> None:
        if kind != "canceled":
            self._metrics.lease_expired("attempt" if kind != "schedule_to_start" else kind)
            self._metrics.activity_timed_out(kind)
