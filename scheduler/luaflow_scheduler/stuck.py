"""What the sweep has seen on its way round the open runs: which are stuck, how long they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

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


class LongHistories:
    """The longest histories of open runs; of each partition it tells its last whole round."""

    def __init__(self) -> None:
        self._under_way: dict[int, tuple[int, int]] = {}
        self._whole: dict[int, tuple[int, int]] = {}

    def seen(self, partition: int, sizes: Iterable[tuple[int, int]], *, last: bool) -> None:
        """Look at the events and bytes of a slice; ``last``: the partition's round ends with it."""
        most = [self._under_way.pop(partition, (0, 0)), *sizes]
        longest = max(events for events, _ in most), max(size for _, size in most)
        if last:
            self._whole[partition] = longest
        else:
            self._under_way[partition] = longest

    def families(self) -> Iterator[GaugeMetricFamily]:
        """The two gauges. Called on a thread."""
        whole = list(self._whole.values())
        for i, unit in enumerate(("events", "bytes")):
            yield GaugeMetricFamily(
                f"luaflow_history_longest_{unit}",
                f"The largest history of an open workflow in {unit}, as of the last sweep.",
                value=max((one[i] for one in whole), default=0),
            )
