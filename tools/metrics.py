"""The metrics that luaflow really exports, read off the objects of the product."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from luaflow.observe.server import ServerFindings
from luaflow.observe.vitals import Vitals
from luaflow_scheduler.counts import Counts
from luaflow_scheduler.gauges import Gauges, Reading
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.stuck import LongHistories, StuckRuns
from luaflow_web.metrics import WebMetrics
from luaflow_worker.holding import Holding
from luaflow_worker.metrics import WorkerMetrics


class Metric(NamedTuple):
    """One metric; ``name`` as Prometheus knows it (counters with _total)."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    process: str
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query can use."""
        if self.type == "histogram":
            return tuple(self.name + suffix for suffix in ("_bucket", "_sum", "_count"))
        return (self.name,)


def exported() -> list[Metric]:
    """All metrics, by process and name; one that both processes have is there twice."""
    worker, scheduler, web = CollectorRegistry(), CollectorRegistry(), CollectorRegistry()
    WorkerMetrics(worker)
    Holding(worker, {}, {}, bool)
    WebMetrics(web, lambda: 0)
    SchedulerMetrics(scheduler)
    for registry in (worker, scheduler, web):
        ServerFindings(registry, tuple)
        Vitals(registry, bool)
    sweep = SimpleNamespace(stuck=StuckRuns(), long=LongHistories())
    gauges = Gauges(cast("Any", None), cast("Any", None), scheduler, sweep)  # asks no server here
    counts = Counts({"running": 0}, 0, 0, 0, {}, {})
    gauges._reading = Reading({}, {}, counts, 0, 0, {}, ())  # noqa: SLF001 - as if it had
    return [*_read("worker", worker), *_read("scheduler", scheduler), *_read("serve", web)]


def _read(process: str, registry: CollectorRegistry) -> list[Metric]:
    return sorted(
        metric
        for collector in registry._collector_to_names  # noqa: SLF001 - labels are told nowhere else
        for metric in _metrics(process, collector)
    )


def _metrics(process: str, collector: Collector) -> Iterator[Metric]:
    labels = collector._labelnames if isinstance(collector, MetricWrapperBase) else None  # noqa: SLF001
    for family in collector.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        own = labels if labels is not None else getattr(family, "_labelnames", ())
        # (those of the library end with +Inf)
        buckets = tuple(
            getattr(collector, "_upper_bounds", ())[:-1] or getattr(collector, "_bounds", ())
        )
        yield Metric(name, family.type, tuple(own), family.documentation, process, buckets)
