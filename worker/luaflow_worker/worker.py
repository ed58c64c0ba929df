"""The worker: one process that decides workflow tasks and runs activities of some queues."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from luaflow.client.client import Client
from luaflow.domain.events import RUNTIME_VERSION
from luaflow.domain.ids import check_name
from luaflow.domain.lanes import base_of
from luaflow.errors import InvalidArgument
from luaflow.observe.server import ServerFindings
from luaflow.observe.turning import Turning
from luaflow.observe.vitals import Vitals
from luaflow.registry.app import App, load_app
from luaflow.registry.entries import CallableEntry, WorkerOptions
from luaflow.service import Service
from luaflow.store.courier import Courier
from luaflow.store.keys import Partition
from luaflow.store.lanes import lanes_of
from luaflow.store.spread import is_spread
from luaflow.store.store import Store
from luaflow.store.tasks import Found
from luaflow.store.watch import ServerWatch
from luaflow_worker.activity_tasks import ActivityTasks
from luaflow_worker.asks import Asks
from luaflow_worker.durations import STICKY
from luaflow_worker.engines import Engines
from luaflow_worker.holding import Holding
from luaflow_worker.lanes import Lanes, groups
from luaflow_worker.limits import Limits, queue_rates
from luaflow_worker.metrics import WorkerMetrics
from luaflow_worker.node import Node
from luaflow_worker.polling import MAX_STREAMS, Poller
from luaflow_worker.presence import Leases, Presence
from luaflow_worker.quarantine import Quarantine
from luaflow_worker.taken_activities import ActivityEntry
from luaflow_worker.taking import Entry
from luaflow_worker.workflow_tasks import WorkflowTasks

log = logging.getLogger(__name__)

ROLES = ("all", "workflow", "activity")
MAX_THREADS = 64
MOST_READ = 64
"""Workflow tasks read at a time."""
MOST_BUSY = 128
"""Workflow tasks that may be on their way while more are read; two batches use the processor and
the server in turn."""
DRAIN_SECONDS = 30.0
SETTLE_SECONDS = 5.0
"""What the decisions on the last results may take at the end of a drain."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker is told: its queues, its role, its app folder (activities only need one)."""

    queues: tuple[str, ...]
    role: str = "all"
    app: Path | None = None
    cache: int = 1000
    drain_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.queues:
            raise InvalidArgument("a worker needs at least one queue: --queue NAME")
        for queue in self.queues:
            check_name(queue, "the queue")
        if self.role not in ROLES:
            raise InvalidArgument(f"the role is one of {', '.join(ROLES)}, not {self.role!r}")


class Worker:
    """Serves queues until it is stopped; ``await worker.start()``, ``await worker.stop()``."""

    def __init__(
        self,
        store: Store,
        config: WorkerConfig,
        registry: CollectorRegistry | None = None,
        app: App | None = None,
    ) -> None:
        """Assemble the parts; `app` is the app where it is loaded already.

        Raises RegistryError for an app folder that does not load.
        """
        self.store = store
        self.config = config
        self.id = f"w{secrets.token_hex(4)}"
        self._registry = registry or CollectorRegistry()
        self.metrics = WorkerMetrics(self._registry)
        self.app = app or (load_app(config.app) if config.app else App(Path(), {}))
        self.options = self._options()
        self._courier = Courier(store)
        self._cpu = (self.options.deadlock_detection_timeout_ms or 1000) / 1000
        self.activities = self._make_activities()
        self.workflows = self._make_workflows()
        self._services: list[Service] = []
        self._kinds: dict[str, dict[str, Any]] = {}
        self._places: list[str] = []
        self._queue_of: dict[str, tuple[Partition, str]] = {}
        self._label_of: dict[str, str] = {}
        self.metrics.slots_used("workflow", lambda: self.workflows.active)
        self.metrics.slots_used("activity", lambda: len(self.activities.running))
        self.metrics.sticky_runs(lambda: len(self.workflows.cache))
        self.watch = ServerWatch(store)
        ServerFindings(self._registry, lambda: self.watch.findings)
        self.draining = False
        self._holding = Holding(
            self._registry, self.workflows.taken, self.activities.running, lambda: self.draining
        )
        self._vitals = Vitals(self._registry, lambda: store.link.connected)
        self.watch.answered = self._vitals.round_trip
        self._turning = Turning(self._vitals.late)
        self.alive = self._turning.alive

    def _make_activities(self) -> ActivityTasks:
        options = self.options
        slots = options.max_concurrent_activity_execution_size
        self.node = Node(
            self.app,
            Client(self.store),
            settings=self.store.settings,
            cpu_seconds=self._cpu,
            threads=min(slots, MAX_THREADS),
        )
        self._registry.register(self.node.host.modules.metrics)
        return ActivityTasks(
            self.store,
            self.id,
            self.node.host,
            self.node.python,
            self.metrics,
            slots=slots,
            eager=self.config.role == "all" and not options.disable_eager_activities,
            eager_slots=options.max_concurrent_eager_activity_execution_size,
            per_second=options.worker_activities_per_second,
            registered=(registered := self._served().get),
            limits=Limits(self.store, queue_rates(self.app, self.config.queues), registered),
        )

    def _make_workflows(self) -> WorkflowTasks:
        options = self.options
        self._engines = self._make_engines()
        return WorkflowTasks(
            self.store,
            self.id,
            self._engines,
            self.activities,
            self.metrics,
            deliver=self._courier.tell,
            quarantine=Quarantine(self._make_engines(), cpu_seconds=self._cpu),
            cache_size=self.config.cache,
            sticky_ms=options.sticky_schedule_to_start_timeout_ms,
            local_slots=options.max_concurrent_local_activity_execution_size,
            local_per_second=options.worker_local_activities_per_second,
        )

    def _make_engines(self) -> Engines:
        replayed = self.options.enable_logging_in_replay
        return Engines(self.store, cpu_seconds=self._cpu, log_replay=replayed)

    @property
    def drain_seconds(self) -> float:
        """How long running activities get at a stop: as told, or as the worker entry says."""
        if self.config.drain_seconds is not None:
            return self.config.drain_seconds
        return self.options.worker_stop_timeout_ms / 1000 or DRAIN_SECONDS

    def _options(self) -> WorkerOptions:
        """The options of the first worker entry that serves one of the queues."""
        for entry in self.app.workers.values():
            if entry.task_queue in self.config.queues:
                return entry.options
        return WorkerOptions()

    def _served(self) -> dict[str, CallableEntry]:
        """The activities of worker entries whose queue this worker serves, by name."""
        workers = {k for k, w in self.app.workers.items() if w.task_queue in self.config.queues}
        return {
            key: entry
            for key, entry in self.app.activities.items()
            if entry.activity and entry.activity.worker in workers
        }

    # -- starting and stopping -------------------------------------------------------------------

    async def start(self) -> None:
        """Start to serve; returns when the worker reads its queues."""
        role, options = self.config.role, self.options
        self._turning.start()
        self._services = [
            Presence(self.store, self.id, self._places, self._describe, self._vitals.round_trip),
            self.watch,
        ]
        if role != "activity" and not options.disable_workflow_worker:
            slots = options.max_concurrent_workflow_task_execution_size
            self.metrics.slots("workflow", slots)
            local = self.workflows.locals
            self._services.append(
                Leases(self.store, self.id, self.workflows.taken, local.waiting, local.lost)
            )
            self._services.append(
                Asks(self.store, self.config.queues, self._make_engines(), self.metrics)
            )
            self._kinds["workflow"] = {
                "free": lambda: self._workflow_tasks_to_read(slots),
                "freed": self.workflows.freed,
                "handle": self._workflow_tasks,
            }
        if role != "workflow" and not options.local_activity_worker_only:
            self.metrics.slots("activity", self.activities.slots)
            self._kinds["activity"] = {
                "free": self._activities_to_read,
                "freed": self.activities.freed,
                "handle": self._activity_tasks,
            }
        lanes = await lanes_of(self.store, self.config.queues)
        self._places[:] = sorted({*self.config.queues, *lanes})
        self._services += self._pollers()
        self._services.append(Lanes(self.store, self.config.queues, lanes, self._serve_lanes))
        for service in self._services:
            await service.start()

    def _workflow_tasks_to_read(self, slots: int) -> int:
        """A part of the slots at a time, and few while decisions use the processor.

        Those begun are over sooner, and others may have what this worker would only keep. Where a
        commit waits for replicas or disks, or partitions for different servers, it is not the
        processor that they wait for.
        """
        tasks, free = self.workflows, slots - self.workflows.active
        if not self.store.confirms and not is_spread(self.store):
            free = min(free, MOST_BUSY - (tasks.active - tasks.locals.many))
        return min(free, MOST_READ)

    def _activities_to_read(self) -> int:
        """A part of the slots at a time: while some activities run, the next ones are taken."""
        return min(self.activities.free(), max(64, self.activities.slots // 4))

    def _pollers(self) -> list[Service]:
        """Readers of all streams this worker serves, in connections of 64 at most."""
        partitions = self.store.partitions
        self._queue_of = {p.activity_queue(q): (p, q) for q in self._places for p in partitions}
        self._label_of = {p.workflow_queue(q): base_of(q) for q in self._places for p in partitions}
        self._holding.serves = {(base_of(q), kind) for q in self._places for kind in self._kinds}
        found: list[Service] = []
        own = [p.sticky(self.id) for p in partitions]
        for name, how in self._kinds.items():
            if name == "workflow":
                made = groups(
                    self._places, lambda q: [p.workflow_queue(q) for p in partitions], own
                )
            else:
                made = groups(self._places, lambda q: [p.activity_queue(q) for p in partitions])
            parts = -(-sum(map(len, made)) // MAX_STREAMS)
            for i in range(parts):
                mine = [part for group in made if (part := group[i::parts])]
                found.append(Poller(f"{name}-{i}", self.store, self.id, mine, own=own, **how))
        return found

    async def _serve_lanes(self, lanes: set[str]) -> None:
        """Read more lanes than before: the old readers make room for new ones."""
        self._places[:] = sorted({*self.config.queues, *lanes})
        old = [service for service in self._services if isinstance(service, Poller)]
        new = self._pollers()
        try:
            for poller in new:
                await poller.start()
        except BaseException:
            # the old ones go on until it is tried again: the server may be away for long
            await asyncio.gather(*(poller.stop() for poller in new))
            raise
        self._services += new
        for poller in old:
            poller.retire()

    async def stop(self) -> None:
        """Drain: read nothing new, finish or hand back what is under way, say good-bye."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.drain_seconds
        self.draining = True
        self.activities.eager = False  # what a run asks for next is for others
        await asyncio.gather(*(s.stop() for s in self._services if isinstance(s, Lanes)))
        pollers = [s for s in self._services if isinstance(s, Poller)]
        await asyncio.gather(*(p.stop() for p in pollers))
        running = len(self.activities.running)
        log.info("worker %s takes nothing new; activities running: %d", self.id, running)
        await self.workflows.drain(end - loop.time())
        await self.activities.drain(end - loop.time())
        await self.workflows.drain(SETTLE_SECONDS)
        await self.activities.drain(SETTLE_SECONDS)  # what the last decisions let go of
        self.workflows.quarantine.close()
        await self._engines.close()
        await self._courier.settle()
        await self._courier.close()
        for service in reversed(self._services):
            await service.stop()
        await self.node.close()
        self._turning.stop()
        log.info("worker %s has drained", self.id)

    @property
    def deaf(self) -> bool:
        """Whether code of the app goes on that was told to end; its tasks were handed back."""
        return bool(self.workflows.background.deaf or self.activities.background.deaf)

    @property
    def healthy(self) -> bool:
        """Return whether every part works."""
        return all(s.healthy for s in self._services)

    def _describe(self) -> dict[str, Any]:
        return {
            "queues": list(self.config.queues),
            "role": self.config.role,
            "identity": self.options.identity,
            "activities_running": len(self.activities.running),
            "runtime_version": RUNTIME_VERSION,
        }

    # -- tasks -----------------------------------------------------------------------------------

    def _note_wait(self, stream: str, entry: str) -> None:
        """Measure how long a workflow task has waited that was read just now."""
        if (now := self.watch.server_now()) is not None:
            added = int(entry.partition("-")[0]) / 1000
            self.metrics.durations.waited(self._label_of.get(stream, STICKY), now - added)

    def _workflow_tasks(self, found: list[Found]) -> None:
        self._note_wait(*found[0][:2])
        self.workflows.handle(
            [
                Entry(
                    self.store.partition(f[b"w"].decode()),
                    stream,
                    entry,
                    f[b"r"].decode(),
                    f[b"w"].decode(),
                    int(f[b"t"]),
                )
                for stream, entry, f in found
            ]
        )

    def _activity_tasks(self, found: list[Found]) -> None:
        self.activities.handle(
            [
                ActivityEntry(
                    *self._queue_of[stream],
                    entry,
                    f[b"r"].decode(),
                    f[b"w"].decode(),
                    f[b"s"].decode(),
                    int(f[b"n"]),
                )
                for stream, entry, f in found
            ]
        )
