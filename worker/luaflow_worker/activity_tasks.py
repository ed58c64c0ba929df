"""Activity tasks: take, run, report; from the queue, or kept (eager) by a decision."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from luaflow.activity import Context
from luaflow.domain.failure import Failure, timeout
from luaflow.domain.lanes import base_of
from luaflow.domain.options import ActivityOptions
from luaflow.errors import LuaflowError
from luaflow.observe.logs import run_fields
from luaflow.registry.entries import CallableEntry, PythonEntry
from luaflow.store import attempts
from luaflow.store.attempts import Proof
from luaflow.store.spread import by_partition
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_worker import rate, spans
from luaflow_worker.attempt import (
    Attempt,
    Outcome,
    Verdict,
    context_of,
    log_failure,
    route_of,
    verdict,
)
from luaflow_worker.background import Background
from luaflow_worker.functions import FunctionHost
from luaflow_worker.limits import Limits, Rate
from luaflow_worker.live import Live, Result
from luaflow_worker.metrics import AttemptOutcome, WorkerMetrics
from luaflow_worker.proposal import Eager
from luaflow_worker.python_activities import PythonActivities
from luaflow_worker.renewals import Renewals
from luaflow_worker.reports import Reports, call_of
from luaflow_worker.taken_activities import ActivityEntry, SealedTask, put_off, take_all

log = logging.getLogger(__name__)


class ActivityTasks:
    """Runs the activities of the queues this worker serves."""

    def __init__(
        self,
        store: Store,
        worker: str,
        host: FunctionHost,
        python: PythonActivities,
        metrics: WorkerMetrics,
        *,
        slots: int = 1000,
        eager: bool = True,
        eager_slots: int = 0,
        per_second: float = 0.0,
        registered: Callable[[str], CallableEntry | None],
        limits: Limits,
    ) -> None:
        """``registered(name)`` is the entry this worker runs under an activity name, or None.

        Of the ``slots``, eager activities take ``eager_slots`` at most (0: all); ``per_second`` may
        start (0: any number).
        """
        self._store = store
        self._worker = worker
        self._host = host
        self._python = python
        self._metrics = metrics
        self.slots = slots
        self.eager = eager
        self._eager_slots = eager_slots
        self._reserved = 0
        self._registered = registered
        self._limits = limits
        self._numbers = itertools.count(1)
        self.running: dict[str, Attempt] = {}
        self.background = Background("luaflow-activity", "the report of an activity")
        self._spawn = self.background.spawn
        self.freed = asyncio.Event()
        self._rate = rate.Rate(per_second, self.freed.set)
        self._taking = 0
        self._renewals = Renewals(store, self._spawn)
        self._reports = Reports(store, self._spawn)

    # -- eager activities (asked by workflow tasks) ----------------------------------------------

    def keep(self, name: str, options: ActivityOptions) -> str | None:
        """Return a token when this worker runs it itself: registered here, a slot free.

        The slot is reserved until ``start``, or until ``release`` when the commit was refused.
        """
        if not self.eager or options.disable_eager_execution or self.free() <= 0:
            return None
        entry = self._registered(name)
        if entry is None or self._limits.concern(entry) or not self._eager_may_start():
            return None
        self._reserved += 1
        self._rate.take()
        return self._token()

    def _eager_may_start(self) -> bool:
        if not self._eager_slots:
            return True
        running = sum(1 for attempt in self.running.values() if attempt.eager)
        return running + self._reserved < self._eager_slots

    def release(self, kept: int) -> None:
        """Give back the slots of activities that were kept and are not to be started."""
        self._reserved -= kept
        self._rate.take(-kept)
        if kept:
            self.freed.set()

    def start(
        self, live: Live, eager: Eager, done: Callable[[Live, Result], None]
    ) -> Result | None:
        """Run an eager activity; return its result if it ended at once, or call ``done``."""
        self._reserved -= 1
        route = live.place.route
        attempt = Attempt(
            partition=route.partition,
            workflow_id=route.workflow_id,
            run_id=route.run_id,
            seq=eager.seq,
            activity=eager.activity,
            input=eager.input,
            token=eager.token,
            queue=route.queue,
            workflow_type=live.place.type,
            start_to_close=eager.options.start_to_close_ms,
            heartbeat=eager.options.heartbeat_ms or 0,
            policy=eager.options.retry_policy,
            context=eager.context,
            headers=live.place.headers,
            eager=True,
        )
        ended = self._begin(attempt, functools.partial(self._eager_ended, live, done))
        return self._result(attempt, ended) if ended else None

    def _eager_ended(
        self, live: Live, done: Callable[[Live, Result], None], attempt: Attempt, outcome: Outcome
    ) -> None:
        result = self._result(attempt, outcome)
        if result:
            done(live, result)

    def _result(self, attempt: Attempt, outcome: Outcome) -> Result | None:
        """Return the result for a fused step; None when it is to be retried, or was deferred."""
        if outcome.deferred:
            self._spawn(self._defer(attempt))
            return None
        end = verdict(attempt, outcome)
        if end.delay is not None:
            self._spawn(self._report(attempt, end))
            return None
        self._count(attempt, end)
        self._renewals.hold(attempt)
        return attempt.seq, attempt.token, end.event, end.body

    def settled(self, results: Sequence[Result]) -> None:
        """These are in the history: nothing has to be kept of their attempts."""
        for _, token, *_ in results:
            self._renewals.release(token)

    def finish(self, live: Live, results: Sequence[Result]) -> None:
        """Report results the plain way: their run is not in memory any more, or has moved on."""
        for seq, token, event, body in results:
            self._spawn(self._finish(live.place.route, str(seq), token, event, body))

    async def run_here(self, attempt: Attempt) -> Outcome:
        """Run an attempt that only its decision knows of (a local activity) to its end."""
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def end(_: Attempt, outcome: Outcome) -> None:
            if not ended.cancelled():
                ended.set_result(outcome)

        try:
            return self._begin(attempt, end) or await ended
        finally:
            if ended.cancelled() and attempt.cancel:
                attempt.cancel()

    # -- tasks from the queue --------------------------------------------------------------------

    def handle(self, entries: Sequence[ActivityEntry]) -> None:
        """Take tasks read from a stream and run them, in the background."""
        self._taking += len(entries)
        self._rate.take(len(entries))
        for part in by_partition(self._store, entries, lambda e: e.partition):
            self._spawn(self._handle(part))

    def free(self) -> int:
        """Return how many attempts more this worker may start."""
        free = self.slots - len(self.running) - self._taking - self._reserved
        return self._rate.allowed(free) if free > 0 else free

    async def _handle(self, entries: Sequence[ActivityEntry]) -> None:
        try:
            await self._take(entries)
        finally:
            self._taking -= len(entries)
            self.freed.set()

    async def _take(self, entries: Sequence[ActivityEntry]) -> None:
        tasks = [(e, self._token()) for e in entries]
        for e, taken in await take_all(self._store, self._worker, tasks):
            try:
                if isinstance(taken, SealedTask):
                    text, extra = "activity %s of workflow %s waits: %s", run_fields(e)
                    log.error(text, e.seq, e.workflow_id, taken, extra=extra)
                    self._spawn(put_off(self._store, e, taken))
                    continue
                if isinstance(taken, LuaflowError):
                    raise taken
                if taken:
                    self._run_taken(taken.attempt, taken.waited, passes=taken.passes)
            except Exception:  # a bad task hurts only itself; its lease ends, or the sweep finds it
                text, extra = "activity %s of workflow %s cannot be run", run_fields(e)
                log.exception(text, e.seq, e.workflow_id, extra=extra)

    def _run_taken(self, attempt: Attempt, waited: int, *, passes: bool) -> None:
        attempt.waited = waited
        self._metrics.waited(base_of(attempt.queue), max(0, waited) / 1000)
        rates = [] if passes else self._limits.of(attempt)
        if rates:
            self._reserved += 1
            self._spawn(self._admit(attempt, rates))
        else:
            self._run_remote(attempt)

    async def _admit(self, attempt: Attempt, rates: Sequence[Rate]) -> None:
        """Run an attempt when its rate limits allow it; it goes back where that is not soon."""
        try:
            if await self._limits.admit(attempt, rates):
                self._run_remote(attempt)
            else:
                self._rate.take(-1)
        finally:
            self._reserved -= 1
            self.freed.set()

    def _run_remote(self, attempt: Attempt) -> None:
        ended = self._begin(attempt, self._remote_ended)
        if ended:
            self._remote_ended(attempt, ended)

    def _remote_ended(self, attempt: Attempt, outcome: Outcome) -> None:
        if outcome.deferred:
            self._spawn(self._defer(attempt))
            return
        end = verdict(attempt, outcome)
        self._count(attempt, end)
        self._reports.add(attempt, end)

    async def _defer(self, attempt: Attempt) -> None:
        """Let go of an attempt that is completed from outside; fenced if it has been already."""
        call = attempts.defer_activity(
            partition=attempt.partition,
            run_id=attempt.run_id,
            seq=str(attempt.seq),
            token=attempt.token,
        )
        await self._store.one(call)

    async def _report(self, attempt: Attempt, end: Verdict) -> None:
        self._count(attempt, end)
        await self._store.reach(route_of(attempt), lambda route: call_of(attempt, end, route))

    async def _finish(self, route: Route, seq: str, token: str, event: str, body: bytes) -> None:
        proof = Proof(token=token)
        try:
            await self._store.reach(
                route,
                lambda r: attempts.finish_activity(
                    route=r, seq=seq, proof=proof, type=event, body=body
                ),
            )
        finally:
            self._renewals.release(token)

    # -- running ---------------------------------------------------------------------------------

    def _begin(self, attempt: Attempt, ended: Callable[[Attempt, Outcome], None]) -> Outcome | None:
        """Start an attempt; return its outcome if it ended at once, else ``ended`` is called."""
        with spans.attempt_begun(attempt):
            outcome = self._run(attempt, ended)
        if outcome:
            spans.attempt_ended(attempt, outcome)
        return outcome

    def _run(self, attempt: Attempt, ended: Callable[[Attempt, Outcome], None]) -> Outcome | None:
        entry = self._registered(attempt.activity)
        if entry is None:
            queue = base_of(attempt.queue)
            text = f"no worker of the queue '{queue}' has the activity {attempt.activity}"
            return Outcome(failure=Failure("NotFound", text, retryable=True))
        context, call = None, None
        if isinstance(entry, PythonEntry):
            context = context_of(attempt, self._renewals.beat)
            work = self._python.run(entry, attempt, context)
            attempt.beat = False
        else:
            call = self._host.begin(entry, attempt, beat=self._renewals.beat)
            if call.outcome:
                self._renewals.stop(attempt)
                return call.outcome
            work = call.wait()
        if attempt.token:  # a local activity has a slot of its own kind
            self.running[attempt.token] = attempt
        task = self._spawn(self._watch(attempt, work, ended))
        attempt.cancel = call.cancel if call else functools.partial(_cancel, context, task)
        if attempt.token:
            self._renewals.keep(attempt)
        return None

    async def _watch(self, attempt: Attempt, work: Any, ended: Any) -> None:
        limit = attempt.start_to_close / 1000 or None
        try:
            async with asyncio.timeout(limit):
                outcome = await work
        except TimeoutError:
            # the scheduler decides over the attempt; this one is only left alone
            outcome = Outcome(failure=timeout("start_to_close"))
        finally:
            ours = self.running.pop(attempt.token, None) or not attempt.token
            self._renewals.stop(attempt)
            self.freed.set()
        if not ours:  # it was handed back, and went on though it was cancelled
            return
        spans.attempt_ended(attempt, outcome)
        ended(attempt, outcome)

    def _count(self, attempt: Attempt, end: Verdict) -> None:
        log_failure(attempt, end)
        outcome = "retried" if end.delay is not None else _OUTCOME[end.event]
        self._metrics.attempt(attempt.activity, outcome, time.monotonic() - attempt.since)

    def _token(self) -> str:
        return f"{self._worker}.{next(self._numbers)}"

    # -- ending ----------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Wait for running attempts; those that need longer are handed back as failed attempts."""
        await self.background.wait(seconds)
        lost = Outcome(
            failure=timeout("worker_lost", "the worker stopped before the activity ended")
        )
        for attempt in list(self.running.values()):
            spans.attempt_ended(attempt, lost)
            await self._report(attempt, verdict(attempt, lost))
            self.running.pop(attempt.token, None)
        await self._reports.send_rest()
        await self.background.cancel()
        self._renewals.close()


_OUTCOME: dict[str, AttemptOutcome] = {
    "ActivityTaskCompleted": "completed",
    "ActivityTaskFailed": "failed",
    "ActivityTaskTimedOut": "failed",
    "ActivityTaskCanceled": "canceled",
}


def _cancel(context: Context | None, task: asyncio.Task[Any]) -> None:
    """The workflow asked the activity to stop: async code is cancelled, a thread may look."""
    if context:
        context.cancelled = True
    task.cancel()
