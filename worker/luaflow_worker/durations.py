"""What workflows and their tasks take, from one end to the other, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from luaflow.observe.vitals import SECONDS
from luaflow_worker.tallies import Counts, Measures

LASTING = (0.01, 0.1, 1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800)
"""From ten milliseconds to a week: workflows last."""
BYTES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000)
STICKY = "(sticky)"
"""Instead of a queue: the streams of one worker alone."""


class Durations:
    """Registers them with ``registry``; times are seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started = Counts(
            "luaflow_workflow_started",
            "Workflows whose first decision was taken by this worker, by type.",
            ["workflow"],
            registry,
        )
        self._lasted = Measures(
            "luaflow_workflow_seconds",
            "Time from the start of a workflow until it closed, by type.",
            ["workflow"],
            registry,
            LASTING,
        )
        self._bytes = Measures(
            "luaflow_history_bytes",
            "Bytes of the events in a history when it closed.",
            [],
            registry,
            BYTES,
        ).of()
        self._replay = Measures(
            "luaflow_replay_seconds",
            "Time to rebuild a workflow that had decided before, reading its events included.",
            [],
            registry,
            SECONDS,
        ).of()
        self._waited = Measures(
            "luaflow_workflow_task_schedule_to_start_seconds",
            "Time that workflow tasks waited in the queue; of those read together the first. "
            f"Queue {STICKY}: in the streams of one worker alone.",
            ["queue"],
            registry,
            SECONDS,
        )

    def closed(self, workflow: str, size: int, seconds: float) -> None:
        """Measure a workflow that closed after so long, with so many bytes in its history."""
        self._lasted.of(workflow).observe(seconds)
        self._bytes.observe(size)

    def replayed(self, workflow: str, seconds: float, *, first: bool) -> None:
        """Measure a rebuilt workflow; ``first``: it is new, nobody has decided it before."""
        if first:
            self._started.of(workflow).inc()
        else:
            self._replay.observe(seconds)

    def waited(self, queue: str, seconds: float) -> None:
        """Measure how long the first of the tasks that were read together had waited."""
        self._waited.of(queue).observe(max(0.0, seconds))
