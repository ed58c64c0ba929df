"""Counters and histograms of the hot path: plain numbers, made into series when they are scraped.

Those of prometheus_client lock and look through their buckets at each increment, some thirty times
a workflow. These are moved by one thread, the event loop's; a scrape reads them from another one,
and may see a sample whose sum is a moment behind its count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

NAMES = 200
"""Workflow types, activities or queues that a metric tells apart; further ones count as OTHER."""
OTHER = "other"


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Count."""
        self.value += amount


class Measure:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value in the first bucket that is large enough."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


T = TypeVar("T", Count, Measure)


def _text(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


class _Tallies(Collector, Generic[T]):
    """A metric and its series by label values; the first label may be a user's name.

    At most NAMES of those get series of their own, so that generated names cannot fill the memory.
    Raises ValueError when the registry has a metric of this name.
    """

    def __init__(
        self, name: str, help: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._about = name, help, labels
        self._known: dict[tuple[str, ...], T] = {}
        self._names: set[str] = set()
        if not labels:
            self.of()
        registry.register(self)

    def _make(self) -> T:
        raise NotImplementedError

    def of(self, *labels: str) -> T:
        """The series of these label values."""
        known = self._known.get(labels)
        return known if known is not None else self._bind(labels)

    def _bind(self, labels: tuple[str, ...]) -> T:
        if labels and labels[0] not in self._names:
            if len(self._names) < NAMES:
                self._names.add(labels[0])
            else:
                # Not kept under their own: the names that come here have no bound.
                labels = (OTHER, *labels[1:])
        return self._known.setdefault(labels, self._make())


class Counts(_Tallies[Count]):
    """A counter."""

    def _make(self) -> Count:
        return Count()

    def describe(self) -> Iterator[CounterMetricFamily]:
        """The metric, without its series."""
        name, help, labels = self._about
        yield CounterMetricFamily(name, help, labels=labels)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metric as it stands."""
        for family in self.describe():
            for labels, one in list(self._known.items()):
                family.add_metric(labels, one.value)
            yield family


class Measures(_Tallies[Measure]):
    """A histogram."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        bounds: Sequence[float],
    ) -> None:
        """``bounds``: the upper ends of its buckets, without the last one, which has none."""
        self._bounds = tuple(map(float, bounds))
        self._texts = [_text(bound) for bound in (*bounds, float("inf"))]
        super().__init__(name, help, labels, registry)

    def _make(self) -> Measure:
        return Measure(self._bounds)

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The metric, without its series."""
        name, help, labels = self._about
        yield HistogramMetricFamily(name, help, labels=labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The metric as it stands."""
        for family in self.describe():
            for labels, one in list(self._known.items()):
                sums = map(float, accumulate(one.counts))
                family.add_metric(labels, list(zip(self._texts, sums, strict=True)), one.sum)
            yield family
