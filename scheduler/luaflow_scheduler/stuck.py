"""StuckRuns: how many runs are stuck, by reason, as the sweep has seen them on its way round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily

from luaflow.store.health import REASONS


class StuckRuns:
    """Counts slice by slice; what it tells of a partition is its last whole round."""

    def __init__(self) -> None:
        self._under_way: dict[int, Counter[str]] = {}
        self._whole: dict[int, Counter[str]] = {}

    def seen(self, partition: int, reasons: Iterable[str | None], *, last: bool) -> None:
        """Count a slice of the open runs of a partition; ``last``: its round ends with it."""
        counter = self._under_way.setdefault(partition, Counter())
        counter.update(reason for reason in reasons if reason)
        if last:
            self._whole[partition] = self._under_way.pop(partition)

    def family(self) -> GaugeMetricFamily:
        """The gauge; every reason is there, with 0 too. Called on a thread."""
        total: Counter[str] = Counter()
        for one in list(self._whole.values()):
            total.update(one)
        family = GaugeMetricFamily(
            "luaflow_workflows_stuck",
            "Workflows that are stuck, by reason, as of the last sweep over the open ones.",
            labels=["reason"],
        )
        for reason in REASONS:
            family.add_metric([reason], total[reason])
        return family
