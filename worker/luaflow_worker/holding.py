"""What a worker holds at the moment, counted when Prometheus asks: no work on the hot path."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from luaflow.domain.lanes import base_of
from luaflow.store.transitions import Route
from luaflow_worker.attempt import Attempt

Label = tuple[str, str]
"""A queue and a kind of tasks."""


class Holding(Collector):
    """Hands ``registry`` the tasks of a worker by queue. Its dicts are read on a thread."""

    def __init__(
        self,
        registry: CollectorRegistry,
        taken: Mapping[str, tuple[Route, int]],
        running: Mapping[str, Attempt],
        draining: Callable[[], bool],
    ) -> None:
        """``taken``: the workflow tasks by run id; ``running``: the attempts of activities."""
        self._taken = taken
        self._running = running
        self.serves: set[Label] = set()
        """The queues and kinds of tasks that the worker reads."""
        self._draining = draining
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Count what is there now."""
        attempts = [one for one in list(self._running.values()) if not one.called]
        held = Counter(
            (base_of(route.queue), "workflow") for route, _ in list(self._taken.values())
        )
        held.update((base_of(one.queue), "activity") for one in attempts)
        draining = self._draining()
        serves = [] if draining else list(self.serves)
        yield _by_queue("worker_serves", "1 for each queue and kind this worker reads.", serves)
        yield _by_queue(
            "queue_in_flight_tasks",
            "Tasks of a queue that this worker works on now.",
            {**dict.fromkeys(serves, 0), **held},
        )
        yield GaugeMetricFamily(
            "luaflow_activity_oldest_seconds",
            "How long the attempt has run that this worker works on for longest; 0: none runs.",
            value=max((time.monotonic() - one.since for one in attempts), default=0.0),
        )
        yield GaugeMetricFamily(
            "luaflow_worker_draining",
            "1 while the worker ends: it takes nothing new.",
            value=int(draining),
        )


def _by_queue(name: str, text: str, values: Mapping[Label, int] | Iterable[Label]) -> Metric:
    counts = values if isinstance(values, Mapping) else dict.fromkeys(values, 1)
    family = GaugeMetricFamily(f"luaflow_{name}", text, labels=("queue", "kind"))
    for label, value in sorted(counts.items()):
        family.add_metric(label, value)
    return family
