"""Gauges read from Redis: exported by one scheduler only, so that sums over all are right.

Who that is says a key with a time to live. It is a hint: two at once double a gauge for a moment.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from luaflow.errors import Unavailable
from luaflow.service import Service
from luaflow.store import accounting, liveness
from luaflow.store.condition import parse_info
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow_scheduler.counts import Counts, count, labelled
from luaflow_scheduler.depths import OutboxDepths, QueueDepths
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.server_gauges import Info, cannot_write, families
from luaflow_scheduler.stuck import LongHistories, StuckRuns

EVERY = 5.0
"""Seconds between two readings, however often Prometheus asks."""
MEASURE_EVERY = 60.0
"""Seconds between two measurements of what the namespace takes of the memory."""
LEASE_MS = 15_000


class Reading(NamedTuple):
    """What the server said: tasks by queue and kind, messages, what the namespace holds, itself.

    Ages are seconds, ``bytes`` by kind of key.
    """

    backlog: dict[tuple[str, str], int]
    oldest: dict[tuple[str, str], float]
    counts: Counts
    outbox: int
    outbox_stuck: float
    bytes: dict[str, int]
    infos: Sequence[Info]


class Seen(Protocol):
    """What the sweep has seen on its way round the open runs."""

    stuck: StuckRuns
    long: LongHistories


class Gauges(Service, Collector):
    """Reads the gauges while this scheduler leads, and hands them to ``registry``."""

    def __init__(
        self,
        store: Store,
        queues: Queues,
        registry: CollectorRegistry,
        seen: Seen,
    ) -> None:
        super().__init__("gauges")
        self.answered: Callable[[float], None] = lambda _: None
        """Told at each reading how many seconds the server took for one short answer."""
        self._seen = seen
        self._store = store
        self._queues = queues
        self._id = uuid.uuid4().hex
        self._reading: Reading | None = None
        self._unfit: Sequence[Info] = ()
        self._depths = QueueDepths(store)
        self._outboxes = OutboxDepths(store)
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
            infos = await self._infos()
            leads = await self._lead()
            self._reading = await self._read(infos) if leads else None
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
        asked = time.monotonic()
        answer = await self._store.one(self._ask_to_lead(LEASE_MS))
        self.answered(time.monotonic() - asked)
        return bool(answer[0] == b"ok")

    def _ask_to_lead(self, ms: int) -> Call:
        return liveness.lead(namespace=self._store.namespace, scheduler=self._id, ms=ms)

    async def _infos(self) -> list[Info]:
        infos: list[Info] = []
        try:
            told = await self._store.each_server(("INFO", "everything"))
            infos = [parse_info(answer) for (answer,) in told.values()]
        finally:
            # such a server takes no writes: nobody can lead, and somebody must tell of it
            self._unfit = infos if cannot_write(infos) else ()
        return infos

    async def _read(self, infos: Sequence[Info]) -> Reading:
        counts = await count(self._store)
        backlog = await self._depths.read(await self._queues.names())
        outbox = await self._outboxes.read()
        return Reading(
            backlog=backlog,
            oldest=self._depths.oldest,
            counts=counts,
            outbox=outbox,
            outbox_stuck=self._outboxes.stuck,
            bytes=await self._measured(),
            infos=infos,
        )

    async def _measured(self) -> dict[str, int]:
        """The bytes of the namespace by kind, measured now and then."""
        if time.monotonic() > self._measure_at:
            self._bytes = await accounting.measure(self._store)
            self._measure_at = time.monotonic() + MEASURE_EVERY
        return self._bytes

    def collect(self) -> Iterable[Metric]:
        """The last reading; nothing while another scheduler leads. Called on a thread.

        Of a server that cannot write, every scheduler tells what it says of itself.
        """
        reading, unfit, seen = self._reading, self._unfit, self._seen
        if reading is not None:
            yield from _metrics(reading)
            yield from (seen.stuck.family(), *seen.long.families())
        if reading is not None or unfit:
            yield from families(unfit or (reading.infos if reading else ()))


def _metrics(reading: Reading) -> Iterator[Metric]:
    yield labelled(
        "queue_backlog_tasks",
        "Tasks that no worker has taken yet.",
        ("queue", "kind"),
        reading.backlog,
    )
    yield labelled(
        "queue_oldest_task_seconds",
        "How long the oldest task that no worker has taken has waited; 0: there is none.",
        ("queue", "kind"),
        reading.oldest,
    )
    yield from reading.counts.families()
    for name, text, value in (
        ("outbox_messages", "Messages on their way between partitions.", reading.outbox),
        (
            "outbox_stuck_seconds",
            "How long an outbox has had the same first message, of all the longest time.",
            reading.outbox_stuck,
        ),
    ):
        yield GaugeMetricFamily(f"luaflow_{name}", text, value=value)
    kinds = ", ".join(accounting.KINDS)
    yield labelled(
        "namespace_bytes",
        f"Memory of the server that the namespace takes, estimated from samples; kind: {kinds}.",
        ("kind",),
        {(kind,): size for kind, size in reading.bytes.items()},
    )
