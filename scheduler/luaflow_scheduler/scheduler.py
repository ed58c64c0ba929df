"""Scheduler: everything one scheduler process runs, started and stopped as one."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from luaflow.observe.server import ServerFindings
from luaflow.observe.turning import Turning
from luaflow.observe.vitals import Vitals
from luaflow.service import Service
from luaflow.store.courier import Courier
from luaflow.store.store import Store
from luaflow.store.watch import ServerWatch
from luaflow_scheduler.bundles import BundleSweep
from luaflow_scheduler.gauges import Gauges
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.orphans import OrphanSweep
from luaflow_scheduler.partition import PartitionWatch
from luaflow_scheduler.pressure import Pressure
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.settling import Settling
from luaflow_scheduler.sweep import Sweep


class Scheduler:
    """Watches all partitions of a namespace. Any number of schedulers may run at once.

    ``store`` stays the caller's to close.
    """

    def __init__(
        self,
        store: Store,
        registry: CollectorRegistry | None = None,
        *,
        sweep_seconds: float = 30.0,
    ) -> None:
        registry = registry or CollectorRegistry()
        store.only_carry()
        self._store = store
        self.metrics = SchedulerMetrics(registry)
        self._courier = Courier(store, self.metrics.relayed)
        self._rules = Retention(store)
        settling = Settling(store, self.metrics, self._rules)
        self._watches = [
            PartitionWatch(store, p, self._courier, self.metrics, settling)
            for p in store.partitions
        ]
        queues = Queues(store)
        self.sweep = Sweep(store, queues, self.metrics, period=sweep_seconds)
        self._watch = ServerWatch(store)
        ServerFindings(registry, lambda: self._watch.findings)
        self.pressure = Pressure(store, self.metrics, settling)
        self._gauges = Gauges(store, queues, registry, self.sweep)
        self._bundles = BundleSweep(store, lambda: self._gauges.leads)
        self.orphans = OrphanSweep(store)
        vitals = Vitals(registry, lambda: store.link.connected)
        self._gauges.answered = vitals.round_trip
        self._turning = Turning(vitals.late)
        self.alive = self._turning.alive

    @property
    def _services(self) -> list[Service]:
        own = [self.sweep, self._watch, self.pressure, self._gauges, self._bundles, self.orphans]
        return [*self._watches, *own]

    async def start(self) -> None:
        """Start every part; what the first that fails raises is raised, and nothing runs then."""
        self._turning.start()
        try:
            await asyncio.gather(*(service.start() for service in self._services))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop every part; what is not done is left to the others, or to the next start."""
        await asyncio.gather(*(service.stop() for service in self._services))
        await self._rules.close()
        await self._courier.close()
        self._turning.stop()

    def ready(self) -> tuple[bool, str]:
        """Whether it can do its work. May be called on any thread."""
        if not self._store.link.connected:
            return False, "no connection to Redis"
        broken = [service.name for service in self._services if not service.healthy]
        if broken and not self._watch.refusal:
            return False, f"these parts failed: {', '.join(broken)}"
        return self._watch.ready()
