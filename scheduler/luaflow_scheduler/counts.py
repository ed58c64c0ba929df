"""What a namespace holds, counted on the indexes of its partitions: cheap however much it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric

from luaflow.domain.events import STATUSES
from luaflow.store.keys import Partition
from luaflow.store.link import Arg
from luaflow.store.store import Store

SETS = ("timers", "leases", "gc")
_FIRST = (0, 0, "WITHSCORES")


class Counts(NamedTuple):
    """Runs by status, and so on; ``dates`` and ``overdue`` (seconds) by set of dates."""

    runs: dict[str, int]
    jobs: int
    schedules: int
    waiting: int
    dates: dict[str, int]
    overdue: dict[str, float]

    def families(self) -> Iterator[Metric]:
        """The same as metrics."""
        for name, text, label, values in (
            (
                "workflows",
                "Workflows on the server by status, closed ones until their retention ends.",
                "status",
                self.runs,
            ),
            (
                "scheduler_dates",
                "Dates to come and due: timers of workflows, leases of work, ends of retention.",
                "set",
                self.dates,
            ),
            (
                "scheduler_overdue_seconds",
                "How long the date that is due for longest has been due; 0: none is.",
                "set",
                self.overdue,
            ),
        ):
            yield labelled(name, text, (label,), {(key,): value for key, value in values.items()})
        for name, text, number in (
            ("workflows_running", "Workflows that run.", self.runs["running"]),
            ("jobs_open", "Plain jobs that have not ended.", self.jobs),
            (
                "lock_waiting_runs",
                "Runs that wait for a lock, or for a slot of a concurrency limit.",
                self.waiting,
            ),
            ("schedules", "Schedules, paused ones too.", self.schedules),
        ):
            yield GaugeMetricFamily(f"luaflow_{name}", text, value=number)


def labelled(
    name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]
) -> GaugeMetricFamily:
    """A gauge of several series; ``values`` by the tuple of their labels."""
    family = GaugeMetricFamily(f"luaflow_{name}", text, labels=labels)
    for label, value in values.items():
        family.add_metric(label, value)
    return family


async def count(store: Store) -> Counts:
    """Count in all partitions, in one reading."""
    asked = [_commands(p) for p in store.partitions]
    *answers, time = await store.read(*(one for part in asked for one in part), ("TIME",))
    server_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    rows = [answers[i : i + len(asked[0])] for i in range(0, len(answers), len(asked[0]))]
    sums = [sum(row[i] for row in rows) for i in range(len(STATUSES) + 5)]
    runs, (jobs, schedules, *dates) = sums[: len(STATUSES)], sums[len(STATUSES) :]
    rest = [_Rest(*row[len(sums) :]) for row in rows]
    return Counts(
        runs=dict(zip(STATUSES, runs, strict=True)),
        jobs=jobs,
        schedules=schedules,
        waiting=sum(int(one.meta[0] or 0) for one in rest),
        dates=dict(zip(SETS, dates, strict=True)),
        overdue={
            "timers": max(one.late(one.timer, one.now(server_ms)) for one in rest),
            "leases": max(one.late(one.lease, one.server(server_ms)) for one in rest),
        },
    )


def _commands(p: Partition) -> list[tuple[Arg, ...]]:
    return [
        *(
            ("ZLEXCOUNT", p.vis, f"[status\0{status}\0", f"(status\0{status}\x01")
            for status in STATUSES
        ),
        *(("ZCARD", key) for key in (p.jobs, p.schedules, p.timers, p.leases, p.gc)),
        ("HMGET", p.meta, "waiting", "last", "offset", "vtime"),
        ("ZRANGE", p.timers, *_FIRST),
        ("ZRANGE", p.leases, *_FIRST),
    ]


class _Rest(NamedTuple):
    """Of a partition: what its meta says, and the first date of two sets."""

    meta: Sequence[Any]
    timer: Sequence[Any]
    lease: Sequence[Any]

    def server(self, ms: int) -> int:
        """Server time, which stands in a simulated namespace."""
        return int(self.meta[3]) if self.meta[3] else ms

    def now(self, ms: int) -> int:
        """Namespace time (see store/clock.py)."""
        _, last, offset, _ = self.meta
        return max(int(last or 0), self.server(ms) + int(offset or 0))

    @staticmethod
    def late(first: Sequence[Any], now: int) -> float:
        """Seconds since the date that is due for longest; 0 where none is due."""
        return max(0.0, now - float(first[1])) / 1000 if first else 0.0
