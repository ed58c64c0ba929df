"""Gauges read from Redis: exported by one scheduler only, so that sums over all are right.

Who that is says a key with a time to live. It is a hint: two at once double a gauge for a moment.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from luaflow.domain.lanes import base_of
from luaflow.errors import Unavailable
from luaflow.service import Service
from luaflow.store import accounting, liveness
from luaflow.store.link import Arg, Call
from luaflow.store.store import Store
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.stuck import StuckRuns
from luaflow_scheduler.sweep import OPEN

EVERY = 5.0
"""Seconds between two readings, however often Prometheus asks."""
MEASURE_EVERY = 60.0
"""Seconds between two measurements of what the namespace takes of the memory."""
LEASE_MS = 15_000
OUTBOXES = 4_096
"""Outboxes measured in one reading; with more than 64 partitions it takes several."""
KINDS = ("workflow", "activity")


class Reading(NamedTuple):
    """What the server said: tasks by queue and kind, runs and jobs, messages, lines, and itself."""

    backlog: dict[tuple[str, str], int]
    running: int
    jobs: int
    schedules: int
    outbox: int
    waiting: int
    memory_used: int
    memory_max: int
    evicted: int
    aof_ok: bool
    bytes: dict[str, int]


class Gauges(Service, Collector):
    """Reads the gauges while this scheduler leads, and hands them to ``registry``."""

    def __init__(
        self,
        store: Store,
        queues: Queues,
        registry: CollectorRegistry,
        stuck: StuckRuns | None = None,
    ) -> None:
        super().__init__("gauges")
        self._stuck = stuck or StuckRuns()
        self._store = store
        self._queues = queues
        self._id = uuid.uuid4().hex
        self._reading: Reading | None = None
        self._pairs: Iterator[tuple[int, int]] = iter(())
        self._depths: dict[tuple[int, int], int] = {}
        self._bytes: dict[str, int] = {}
        self._measure_at = float("-inf")
        self._leads = Gauge(
            "luaflow_scheduler_leader",
            "1 for the scheduler that exports the gauges read from Redis.",
            registry=registry,
        )
        registry.register(self)

    @property
    def leads(self) -> bool:
        """Whether this scheduler does what one of them alone does."""
        return self._reading is not None

    async def round(self) -> None:
        """Read once if this scheduler leads, then wait."""
        await self._sample()
        await self.idle(EVERY)

    async def _sample(self) -> None:
        leads = False
        try:
            leads = await self._lead()
            self._reading = await self._read() if leads else None
        except BaseException:
            # sums without a part of the servers were wrong, and old ones were taken for new
            self._reading = None
            raise
        finally:
            self._leads.set(int(leads and self._reading is not None))

    async def close(self) -> None:
        """Let another scheduler lead at once."""
        self._reading = None
        self._leads.set(0)
        with contextlib.suppress(Unavailable):  # then the key goes by itself
            await self._store.link.batch([self._ask_to_lead(0)])

    async def _lead(self) -> bool:
        answer = await self._store.one(self._ask_to_lead(LEASE_MS))
        return bool(answer[0] == b"ok")

    def _ask_to_lead(self, ms: int) -> Call:
        return liveness.lead(namespace=self._store.namespace, scheduler=self._id, ms=ms)

    async def _read(self) -> Reading:
        partitions = self._store.partitions
        low, high = OPEN
        told = await self._store.each_server(("INFO", "everything"))
        infos = [parse_info(answer) for (answer,) in told.values()]
        counts = await self._store.read(
            *(("ZLEXCOUNT", p.vis, low, high) for p in partitions),
            *(("ZCARD", p.jobs) for p in partitions),
            *(("ZCARD", p.schedules) for p in partitions),
            *(("HGET", p.meta, "waiting") for p in partitions),
        )
        n = len(partitions)
        return Reading(
            backlog=await self._backlog(),
            running=sum(counts[:n]),
            jobs=sum(counts[n : 2 * n]),
            schedules=sum(counts[2 * n : 3 * n]),
            waiting=sum(int(found or 0) for found in counts[3 * n :]),
            outbox=await self._outbox(),
            memory_used=_sum(infos, "used_memory"),
            memory_max=_sum(infos, "maxmemory"),
            evicted=_sum(infos, "evicted_keys"),
            aof_ok=all(info.get("aof_last_write_status", "ok") == "ok" for info in infos),
            bytes=await self._measured(),
        )

    async def _measured(self) -> dict[str, int]:
        """The bytes of the namespace by kind, measured now and then."""
        if time.monotonic() > self._measure_at:
            self._bytes = await accounting.measure(self._store)
            self._measure_at = time.monotonic() + MEASURE_EVERY
        return self._bytes

    async def _backlog(self) -> dict[tuple[str, str], int]:
        names = await self._queues.names()
        asked: list[tuple[str, str]] = []
        commands: list[tuple[Arg, ...]] = []
        for p, name in product(self._store.partitions, names):
            asked += [(base_of(name), "workflow"), (base_of(name), "activity")]
            commands += [("XLEN", p.workflow_queue(name)), ("XLEN", p.activity_queue(name))]
        found = dict.fromkeys(product(map(base_of, names), KINDS), 0)
        lengths = await self._store.read(*commands) if commands else []
        for label, length in zip(asked, lengths, strict=True):
            found[label] += length
        return found

    async def _outbox(self) -> int:
        """The messages in all outboxes; of a large namespace a part is measured each time."""
        partitions = self._store.partitions
        pairs = list(islice(self._pairs, OUTBOXES))
        if not pairs:
            numbers = range(len(partitions))
            self._pairs = product(numbers, numbers)
            pairs = list(islice(self._pairs, OUTBOXES))
        lengths = await self._store.read(*(("XLEN", partitions[s].outbox(r)) for s, r in pairs))
        for pair, length in zip(pairs, lengths, strict=True):
            if length:
                self._depths[pair] = length
            else:
                self._depths.pop(pair, None)
        return sum(self._depths.values())

    def collect(self) -> Iterable[Metric]:
        """The last reading; nothing while another scheduler leads. Called on a thread."""
        reading = self._reading
        return (*_metrics(reading), self._stuck.family()) if reading else ()


def _sum(infos: Iterable[Mapping[str, str]], field: str) -> int:
    """A number of all servers together (a cluster has several)."""
    return sum(int(info.get(field, 0)) for info in infos)


def parse_info(text: Any) -> dict[str, str]:
    """The fields of an INFO answer."""
    lines = bytes(text or b"").decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _metrics(reading: Reading) -> Iterator[Metric]:
    backlog = GaugeMetricFamily(
        "luaflow_queue_backlog_tasks",
        "Tasks that no worker has taken yet.",
        labels=["queue", "kind"],
    )
    for (queue, kind), tasks in reading.backlog.items():
        backlog.add_metric([queue, kind], tasks)
    yield backlog
    for name, text, value in (
        ("luaflow_workflows_running", "Workflows that run.", reading.running),
        ("luaflow_jobs_open", "Plain jobs that have not ended.", reading.jobs),
        (
            "luaflow_lock_waiting_runs",
            "Runs that wait for a lock, or for a slot of a concurrency limit.",
            reading.waiting,
        ),
        ("luaflow_schedules", "Schedules, paused ones too.", reading.schedules),
        ("luaflow_outbox_messages", "Messages on their way between partitions.", reading.outbox),
        ("luaflow_redis_memory_used_bytes", "Memory the server uses.", reading.memory_used),
        ("luaflow_redis_memory_max_bytes", "Memory it may use; 0: no limit.", reading.memory_max),
        (
            "luaflow_redis_aof_last_write_ok",
            "1 if the last write of the AOF went well.",
            reading.aof_ok,
        ),
    ):
        yield GaugeMetricFamily(name, text, value=int(value))
    taken = GaugeMetricFamily(
        "luaflow_namespace_bytes",
        "Memory of the server that the namespace takes, estimated from samples; kind: "
        f"{', '.join(accounting.KINDS)}.",
        labels=["kind"],
    )
    for kind, size in reading.bytes.items():
        taken.add_metric([kind], size)
    yield taken
    evicted = "Keys the server threw away to make room: each one is lost data."
    yield CounterMetricFamily("luaflow_redis_evicted_keys", evicted, value=reading.evicted)
