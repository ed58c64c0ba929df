"""What was found wrong with the server, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import product

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from luaflow.store.findings import CHECKS, Finding

LEVELS = ("refuse", "warn")


class ServerFindings(Collector):
    """Hands the findings of the last look to ``registry``; every word is there, with 0 too."""

    def __init__(
        self, registry: CollectorRegistry, findings: Callable[[], Sequence[Finding]]
    ) -> None:
        """``findings()`` are those of the last look; called on a thread."""
        self._findings = findings
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The number of findings by what was looked at and by how bad it is."""
        found: Counter[tuple[str, str]] = Counter(
            (one.check, one.level) for one in self._findings()
        )
        family = GaugeMetricFamily(
            "luaflow_server_findings",
            "What is wrong with the server: level refuse (not ready) or warn; /readyz has words.",
            labels=["check", "level"],
        )
        for check, level in product(CHECKS, LEVELS):
            family.add_metric([check, level], found[check, level])
        yield family
