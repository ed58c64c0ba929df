"""WorkerMetrics: what a worker counts and measures for Prometheus.

The methods are called on the hot path: what they move are plain numbers (``tallies``), and names
that come from users (workflows, activities, queues) are bounded (see NAMES there).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics

from luaflow.observe.build import tell_build
from luaflow_worker.durations import Durations
from luaflow_worker.tallies import Count, Counts, Measures

# The buckets of the library end at 10 s; tasks and activities wait and run for longer.
SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300, 1800),
)
EVENTS = (10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000)

Outcome = Literal["completed", "failed", "canceled", "terminated", "timed_out", "continued_as_new"]
"""How a workflow closed: its status."""
Reason = Literal[
    "nondeterminism", "cpu", "memory", "load", "bundle", "runtime", "no_room", "engine"
]
"""Why a workflow task failed."""
AttemptOutcome = Literal["completed", "failed", "retried", "canceled", "fenced"]
"""How an attempt of an activity ended; retried: it failed and another attempt follows."""
Question = Literal["query", "validate"]
Commit = Literal["plain", "fused"]
Slots = Literal["workflow", "activity"]


class WorkerMetrics:
    """Registers the metrics of one worker with ``registry``; one worker a registry.

    ``lua`` names the engine that runs workflow code, for ``luaflow_build_info``. Times are
    seconds. Raises ValueError when the registry has metrics of these names.
    """

    def __init__(self, registry: CollectorRegistry, lua: str = "lua54") -> None:
        # Of the app's own counters: they would double the series and say what rate() says better.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._workflow_metrics(registry)
        self._activity_metrics(registry)
        self.durations = Durations(registry)
        tell_build(registry, lua)

    def _workflow_metrics(self, registry: CollectorRegistry) -> None:
        self._closed = Counts(
            "luaflow_workflow_closed",
            "Workflows that this worker closed, by type and status.",
            ["workflow", "outcome"],
            registry,
        )
        self._history = Measures(
            "luaflow_history_events", "Events in a history when it closed.", [], registry, EVENTS
        ).of()
        self._task = Measures(
            "luaflow_workflow_task_seconds",
            "Time of one decision, from taking the task until its commit was answered.",
            [],
            registry,
            SECONDS,
        ).of()
        self._task_failures = Counts(
            "luaflow_workflow_task_failures",
            "Workflow tasks that failed, by type and reason; the workflow goes on.",
            ["workflow", "reason"],
            registry,
        )
        commits = Counts(
            "luaflow_commits",
            "Commits of decisions; fused ones also end an activity. Refused ones wrote nothing.",
            ["kind", "outcome"],
            registry,
        )
        self._commits = {
            (kind, ok): commits.of(kind, "ok" if ok else "refused")
            for kind in get_args(Commit)
            for ok in (True, False)
        }
        questions = Measures(
            "luaflow_question_seconds",
            "Time to answer a question on a replay: a query, or an update for its validator.",
            ["kind"],
            registry,
            SECONDS,
        )
        self._questions = {kind: questions.of(kind) for kind in get_args(Question)}
        self._cache_metrics(registry)

    def _cache_metrics(self, registry: CollectorRegistry) -> None:
        def count(name: str, help: str) -> Count:
            return Counts(name, help, [], registry).of()

        self._replays = count("luaflow_replays", "Workflows rebuilt from their history.")
        self._replayed = count("luaflow_replayed_events", "Events read again by replays.")
        self._sticky_runs = Gauge(
            "luaflow_sticky_cache_runs", "Workflows kept in the sticky cache.", registry=registry
        )
        self._sticky_evictions = count(
            "luaflow_sticky_cache_evictions",
            "Workflows dropped from the sticky cache to make room.",
        )
        self._sticky_hits = count(
            "luaflow_sticky_cache_hits",
            "Workflow tasks that found their workflow in the sticky cache.",
        )

    def _activity_metrics(self, registry: CollectorRegistry) -> None:
        self._attempts = Counts(
            "luaflow_activity_attempts",
            "Attempts of activities that ended here, by activity and outcome.",
            ["activity", "outcome"],
            registry,
        )
        self._activity = Measures(
            "luaflow_activity_seconds",
            "Time of one attempt of an activity.",
            ["activity"],
            registry,
            SECONDS,
        )
        self._waited = Measures(
            "luaflow_activity_schedule_to_start_seconds",
            "Time that activity tasks waited in the queue for a free slot.",
            ["queue"],
            registry,
            SECONDS,
        )
        slots = Gauge(
            "luaflow_worker_slots",
            "Tasks that this worker takes at the same time.",
            ["kind"],
            registry=registry,
        )
        used = Gauge(
            "luaflow_worker_slots_used",
            "Tasks that this worker works on now.",
            ["kind"],
            registry=registry,
        )
        self._slots = {kind: slots.labels(kind) for kind in get_args(Slots)}
        self._slots_used = {kind: used.labels(kind) for kind in get_args(Slots)}

    def closed(self, workflow: str, outcome: Outcome, events: int) -> None:
        """Count a workflow closed by this worker, with ``events`` in its history."""
        self._closed.of(workflow, outcome).inc()
        self._history.observe(events)

    def task_done(self, seconds: float) -> None:
        """Measure one decision, from taking the task until its commit was answered."""
        self._task.observe(seconds)

    def task_failed(self, workflow: str, reason: Reason) -> None:
        """Count a workflow task that failed."""
        self._task_failures.of(workflow, reason).inc()

    def commit(self, kind: Commit, ok: bool) -> None:
        """Count a commit; not ``ok``: the server refused it."""
        self._commits[kind, ok].inc()

    def question(self, kind: Question, seconds: float) -> None:
        """Measure a question that was answered, whatever the answer."""
        self._questions[kind].observe(seconds)

    def replay(self, events: int) -> None:
        """Count a workflow rebuilt from ``events`` events of its history."""
        self._replays.inc()
        self._replayed.inc(events)

    def sticky_hit(self) -> None:
        """Count a workflow task that found its workflow in the cache."""
        self._sticky_hits.inc()

    def evicted(self, runs: int = 1) -> None:
        """Count workflows dropped from the cache to make room."""
        self._sticky_evictions.inc(runs)

    def sticky_runs(self, runs: Callable[[], int]) -> None:
        """Say how to learn, at each scrape, how many workflows the cache holds."""
        self._sticky_runs.set_function(runs)

    def attempt(self, activity: str, outcome: AttemptOutcome, seconds: float) -> None:
        """Count and measure an attempt of an activity that ended."""
        self._attempts.of(activity, outcome).inc()
        self._activity.of(activity).observe(seconds)

    def waited(self, queue: str, seconds: float) -> None:
        """Measure how long an activity task waited; below zero (two clocks) counts as zero."""
        self._waited.of(queue).observe(max(0.0, seconds))

    def slots(self, kind: Slots, total: int) -> None:
        """Say how many tasks of this kind the worker takes at the same time."""
        self._slots[kind].set(total)

    def slots_used(self, kind: Slots, used: Callable[[], int]) -> None:
        """Say how to learn, at each scrape, how many of them are taken."""
        self._slots_used[kind].set_function(used)
