"""SchedulerMetrics: what a scheduler counts for Prometheus. Gauges read from Redis: gauges.py."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from luaflow.observe.build import tell_build
from luaflow.store.relay import Drained

LATENESS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300, 1800),
)
SETS = ("timers", "leases", "gc")
KINDS = ("task", "sticky", "attempt", "schedule_to_start")
"""Of leases that end."""


class SchedulerMetrics:
    """Registers the metrics of one scheduler with ``registry``; times are seconds.

    Raises ValueError when the registry has metrics of these names.
    """

    def __init__(self, registry: CollectorRegistry, lua: str = "lua54") -> None:
        # They would double the series of every counter and say what rate() says better.
        disable_created_metrics()  # type: ignore[no-untyped-call]

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"luaflow_{name}", text, labels, registry=registry)

        self._fired = counter("scheduler_timers_fired", "Timers of workflows that were fired.")
        self._lateness = Histogram(
            "luaflow_timer_lateness_seconds",
            "Time between the moment a timer was due and its event.",
            buckets=LATENESS,
            registry=registry,
        )
        self._expired = counter("leases_expired", f"Leases that ended: {', '.join(KINDS)}.", "kind")
        self._timeouts = counter("activity_timeouts", "Activities that timed out, by type.", "type")
        self._parked = counter(
            "activities_parked", "Attempts after which an activity was parked: its workers died."
        )
        self._run_timeouts = counter("workflow_timeouts", "Workflows that ran out of time.")
        self._relayed = counter("outbox_relayed", "Messages brought to another partition.")
        self._requeued = counter("tasks_requeued", "Tasks whose queue entry was lost.")
        self._removed = counter("runs_removed", "Closed runs whose retention was over.")
        for kind in KINDS:  # rate() misses the first of a series that begins with it
            self._expired.labels(kind)
        self._buried = counter("workers_removed", "Workers that went silent for good.")
        self._scheduled = counter("schedule_actions", "Workflows that schedules started.")
        self._missed = counter(
            "schedule_missed", "Times of schedules later than their catch-up window."
        )
        self._due_now = Gauge(
            "luaflow_scheduler_due",
            f"Dates due at the last look, at most a slice a partition; set: {', '.join(SETS)}.",
            ["set"],
            registry=registry,
        )
        self._due: dict[int, tuple[int, ...]] = {}
        tell_build(registry, lua)
        self._memory(registry)
        self._show_due()

    def _memory(self, registry: CollectorRegistry) -> None:
        """Register what is about closed runs and the server's memory."""
        self._packed = Counter(
            "luaflow_runs_packed", "Closed runs whose histories were packed.", registry=registry
        )
        self._unarchived = Counter(
            "luaflow_archive_failures",
            "Times that closed runs could not be brought into the archive.",
            registry=registry,
        )
        self._pressure = Gauge(
            "luaflow_memory_pressure_stage",
            "0: there is room; 1: histories are packed; 2: runs archived; 3: starts refused.",
            registry=registry,
        )

    def fired(self, late: float) -> None:
        """Count a timer that fired ``late`` seconds after it was due."""
        self._fired.inc()
        self._lateness.observe(max(0.0, late))

    def lease_expired(self, kind: str) -> None:
        """Count a lease that ended."""
        self._expired.labels(kind).inc()

    def activity_timed_out(self, type: str) -> None:
        """Count an attempt that timed out, or was lost with its worker."""
        self._timeouts.labels(type).inc()

    def activity_parked(self) -> None:
        """Count an activity that is parked, or stays so, after another worker was lost."""
        self._parked.inc()

    def run_timed_out(self) -> None:
        """Count a workflow that ran out of time."""
        self._run_timeouts.inc()

    def relayed(self, drained: Drained) -> None:
        """Count what a drain of an outbox delivered."""
        self._relayed.inc(drained.settled)

    def requeued(self, tasks: int = 1) -> None:
        """Count tasks whose queue entry was lost."""
        self._requeued.inc(tasks)

    def run_removed(self) -> None:
        """Count a closed run that left the server."""
        self._removed.inc()

    def run_packed(self) -> None:
        """Count a closed run whose history is one value now."""
        self._packed.inc()

    def archive_failed(self) -> None:
        """Count a closed run that could not be archived."""
        self._unarchived.inc()

    def pressure(self, stage: int) -> None:
        """Say what is done about the server's memory: 0 nothing, 1 pack, 2 archive, 3 refuse."""
        self._pressure.set(stage)

    def workers_removed(self, workers: int) -> None:
        """Count workers that are gone for good."""
        self._buried.inc(workers)

    def scheduled(self, actions: int, missed: int) -> None:
        """Count what schedules started, and what came too late for that."""
        self._scheduled.inc(actions)
        self._missed.inc(missed)

    def due(self, partition: int, timers: int, leases: int, gc: int) -> None:
        """Say what a partition owed at the last look."""
        before = self._due.get(partition)
        if before != (timers, leases, gc):
            self._due[partition] = (timers, leases, gc)
            self._show_due()

    def forget(self, partition: int) -> None:
        """Leave out a partition that is watched no more."""
        self._due.pop(partition, None)
        self._show_due()

    def _show_due(self) -> None:
        for i, name in enumerate(SETS):
            self._due_now.labels(name).set(sum(found[i] for found in self._due.values()))
