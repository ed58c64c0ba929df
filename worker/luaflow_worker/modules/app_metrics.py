"""The ``metrics`` module: what the code of an app counts, in names that begin with luaflow_app_."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from luaflow.domain import values
from luaflow.domain.failure import Failure

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

PREFIX: Final = "luaflow_app_"
METRICS: Final = 200
"""Metrics an app may have in one process."""
SERIES: Final = 200
"""Combinations of labels of one metric; further ones count under OTHER."""
LABELS: Final = 10
OTHER: Final = "other"
VALUE_CHARACTERS: Final = 100

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}\Z", re.ASCII)
_KINDS: Final[dict[str, type[Counter | Gauge | Histogram]]] = {
    "counter": Counter,
    "gauge_set": Gauge,
    "gauge_add": Gauge,
    "histogram": Histogram,
}


class _Refused(ValueError):
    """A report that cannot be kept."""


class AppMetrics:
    """Keeps the metrics of an app; a collector that a registry of Prometheus can take."""

    def __init__(self) -> None:
        """Begin with none."""
        self._registry = CollectorRegistry()
        self._metrics: dict[str, tuple[Counter | Gauge | Histogram, tuple[str, ...]]] = {}
        self._series: dict[str, set[tuple[str, ...]]] = {}

    def collect(self) -> Iterable[Metric]:
        """All metrics with their values."""
        return self._registry.collect()

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are not known before they are used."""
        return ()

    def report(self, operation: str, name: str, value: float, labels: dict[str, str]) -> None:
        """Count, set or observe. Raises _Refused for what Prometheus or a bound does not allow."""
        names = tuple(sorted(labels))
        metric = self._metric(_KINDS[operation], name, names)
        child: Any = metric
        if names:
            child = metric.labels(*self._bounded(name, tuple(labels[one] for one in names)))
        if operation == "histogram":
            child.observe(value)
        elif operation == "gauge_set":
            child.set(value)
        elif value < 0 and operation == "counter":
            raise _Refused(f"the counter {name} never goes down: use a gauge")
        else:
            child.inc(value)

    def _metric(
        self, kind: type[Counter | Gauge | Histogram], name: str, labels: tuple[str, ...]
    ) -> Counter | Gauge | Histogram:
        known = self._metrics.get(name)
        if known is None:
            return self._make(kind, name, labels)
        metric, had = known
        if type(metric) is not kind:
            raise _Refused(f"the metric {name} is a {type(metric).__name__.lower()} already")
        if had != labels:
            raise _Refused(f"the metric {name} has the labels {', '.join(had) or '(none)'} already")
        return metric

    def _make(
        self, kind: type[Counter | Gauge | Histogram], name: str, labels: tuple[str, ...]
    ) -> Counter | Gauge | Histogram:
        for one in (name, *labels):
            if not _NAME.match(one) or one.startswith("__"):
                raise _Refused(f"{one!r} is no name for a metric or label: use a-z, 0-9 and _")
        if len(labels) > LABELS:
            raise _Refused(f"the metric {name} has {len(labels)} labels, the limit is {LABELS}")
        if len(self._metrics) >= METRICS:
            raise _Refused(f"there are {METRICS} metrics already: tell them apart by labels")
        text = f"Reported by the app as {name}."
        metric = kind(PREFIX + name, text, labels, registry=self._registry)
        self._metrics[name] = (metric, labels)
        return metric

    def _bounded(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        known = self._series.setdefault(name, set())
        labels = tuple(label[:VALUE_CHARACTERS] for label in labels)
        if labels not in known:
            if len(known) >= SERIES:
                return (OTHER,) * len(labels)
            known.add(labels)
        return labels


def _report(
    call: FunctionCall, operation: bytes, name: bytes, value: bytes, labels: bytes
) -> tuple[Any, ...]:
    try:
        call.host.modules.metrics.report(
            operation.decode(),
            name.decode(errors="replace"),
            float(value),
            orjson.loads(labels),
        )
    except ValueError as error:
        return None, values.encode(Failure("Invalid", f"metrics: {error}", retryable=False))
    return (True,)


SERVICES: Final[dict[str, Callable[..., tuple[Any, ...]]]] = {"metrics": _report}
