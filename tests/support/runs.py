"""Driving runs through the server scripts, as a worker would, without any workflow code."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from prometheus_client import CollectorRegistry

from luaflow.domain.events import Event
from luaflow.domain.ids import new_run_id, partition_of
from luaflow.store import attempts, transitions
from luaflow.store.attempts import Record, parse_record
from luaflow.store.courier import Courier
from luaflow.store.keys import GROUP, Partition
from luaflow.store.link import Arg
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.past import read_events
from luaflow.store.store import Store
from luaflow.store.tasks import make_groups
from luaflow.store.transitions import COMMIT_KEYS, Route
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.partition import PartitionWatch
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.settling import Settling
from tests.support.clock import shift

QUEUE = "q"
WORKER = "w1"


async def open_store(url: str, namespace: str, **settings: Any) -> Store:
    """A store of a fresh namespace; its time is simulated unless told otherwise."""
    link = make_link(url)
    await create_namespace(link, namespace, Settings(**{"simulated": True, **settings}))
    await link.close()
    return await Store.open(url, namespace)


class Task(NamedTuple):
    """A workflow task that was taken."""

    turn: int
    length: int


class Ops:
    """The operations of a decision, and the keys they name."""

    def __init__(self) -> None:
        self.operations: list[Arg] = []
        self.keys: list[str] = []

    def _key(self, name: str) -> int:
        if name not in self.keys:
            self.keys.append(name)
        return COMMIT_KEYS + 1 + self.keys.index(name)

    def activity(
        self,
        p: Partition,
        seq: int,
        *,
        options: dict[str, Any] | None = None,
        s2c: int = 0,
        hb: int = 0,
        s2s: int = 0,
        s2e: int = 0,
        queue: str = QUEUE,
    ) -> Ops:
        """Schedule an activity on a queue."""
        body = orjson.dumps({"seq": seq, "activity": "app:work", "input": []})
        text = orjson.dumps(options) if options else b""
        key = self._key(p.activity_queue(queue))
        self.operations += ["A", seq, body, text, key, s2c, hb, s2s, s2e]
        return self

    def timer(self, seq: int, ms: int) -> Ops:
        """Start a timer."""
        self.operations += ["T", seq, orjson.dumps({"seq": seq, "ms": ms}), ms]
        return self

    def cancel_activity(self, seq: int, target: int) -> Ops:
        """Ask for the cancellation of an activity."""
        self.operations += ["R", seq, orjson.dumps({"seq": seq, "target": target}), target]
        return self

    def request(
        self, p: Partition, seq: int, receiver: int, message: dict[str, Any], record: dict[str, Any]
    ) -> Ops:
        """Put a message into an outbox, and a record that waits for its answer."""
        key = self._key(p.outbox(receiver))
        event = orjson.dumps({"seq": seq})
        self.operations += ["C", seq, "Initiated", event, key, receiver]
        self.operations += [orjson.dumps(message), orjson.dumps(record)]
        return self

    def close(
        self,
        p: Partition,
        status: str = "completed",
        receiver: int | None = None,
        message: bytes = b"",
    ) -> Ops:
        """End the run."""
        key = 0 if receiver is None else self._key(p.outbox(receiver))
        event = f"WorkflowExecution{status.title()}"
        self.operations += [
            "Z",
            status,
            event,
            b'{"result":1}',
            key,
            receiver or 0,
            message,
            "close",
        ]
        return self


class Runs:
    """A worker's hand: starts runs, takes tasks, commits decisions."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._numbers = itertools.count(1)

    def route(self, workflow_id: str, run_id: str = "") -> Route:
        """Where a new run of a workflow id would be."""
        return Route(self.store.partition(workflow_id), workflow_id, run_id or new_run_id(), QUEUE)

    async def start(self, workflow_id: str, **options: Any) -> Route:
        """Start a run; its first task lies in the queue."""
        route = self.route(workflow_id)
        answer = await self.store.one(
            transitions.start(route=route, type="t", bundle="b", started=b'{"v":1}', **options)
        )
        assert answer[0] == b"started"
        return route

    async def take(self, route: Route, worker: str = WORKER) -> Task:
        """Read the run's task from the shared queue (or its sticky stream) and take it."""
        p = route.partition
        run = await self.state(route)
        stream = (
            p.sticky(run["sticky"]) if run["task"] == "sticky" else p.workflow_queue(route.queue)
        )
        entry = await self.read(stream, worker)
        assert entry is not None
        call = transitions.take_workflow(
            partition=p,
            run_id=route.run_id,
            stream=stream,
            turn=int(run["turn"]),
            worker=worker,
            entry=entry,
        )
        answer = await self.store.one(call)
        assert answer[0] == b"ok"
        return Task(int(answer[1]), int(answer[2]))

    async def read(self, stream: str, worker: str = WORKER) -> str | None:
        """Read one entry of a task stream for a worker; None when there is none."""
        await make_groups(self.store, [stream])
        (found,) = await self.store.read(
            ("XREADGROUP", "GROUP", GROUP, worker, "COUNT", 1, "STREAMS", stream, ">")
        )
        return bytes(found[0][1][0][0]).decode() if found else None

    async def commit(
        self, route: Route, task: Task, ops: Ops, *, worker: str = WORKER, sticky: str = ""
    ) -> list[Any]:
        """Commit a decision that has seen all that the task showed."""
        call = transitions.commit(
            route=route,
            cid=f"{worker}.{next(self._numbers)}",
            turn=task.turn,
            seen=task.length,
            worker=worker,
            fused=False,
            sticky=sticky,
            decision=orjson.dumps({"seen": task.length, "worker": worker}),
            results=[],
            operations=ops.operations,
            others=ops.keys,
        )
        answer = await self.store.one(call)
        assert answer[0] == b"ok", answer
        return answer

    async def decide(self, route: Route, ops: Ops) -> None:
        """Take the run's task and commit a decision."""
        await self.commit(route, await self.take(route), ops)

    async def take_activity(
        self, route: Route, seq: int, token: str = "tok", *, attempt: int = 1, worker: str = WORKER
    ) -> list[Any]:
        """Read an activity task and take it."""
        stream = route.partition.activity_queue(route.queue)
        entry = await self.read(stream, worker)
        assert entry is not None
        call = attempts.take_activity(
            partition=route.partition,
            run_id=route.run_id,
            queue=route.queue,
            seq=str(seq),
            attempt=attempt,
            worker=worker,
            token=token,
            entry=entry,
        )
        answer = await self.store.one(call)
        assert answer[0] == b"ok", answer
        return answer

    # -- looking ---------------------------------------------------------------------------------

    async def state(self, route: Route) -> dict[str, str]:
        """The hash of a run."""
        (flat,) = await self.store.read(("HGETALL", route.partition.run(route.run_id)))
        texts = [bytes(x).decode() for x in flat]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    async def record(self, route: Route, seq: int) -> Record | None:
        """The record of a pending activity."""
        (text,) = await self.store.read(("HGET", route.partition.pend(route.run_id), f"a:{seq}"))
        return parse_record(text) if text else None

    async def events(self, route: Route) -> list[Event]:
        """The history of a run."""
        events: list[Event] = []
        while page := await read_events(self.store, route.partition, route.run_id, len(events) + 1):
            events += page
        return events

    async def types(self, route: Route) -> list[str]:
        """The types of the events of a run."""
        return [event.type for event in await self.events(route)]

    async def members(self, key: str) -> list[str]:
        """The members of a sorted set."""
        (found,) = await self.store.read(("ZRANGE", key, 0, -1))
        return [bytes(member).decode() for member in found]


class Clockwork:
    """The watches of all partitions, run by hand; time moves when it is told to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.registry = CollectorRegistry()
        self.metrics = SchedulerMetrics(self.registry)
        self.courier = Courier(store, self.metrics.relayed)
        settling = Settling(store, self.metrics, Retention(store))
        self.watches = [
            PartitionWatch(store, p, self.courier, self.metrics, settling) for p in store.partitions
        ]

    async def settle(self) -> None:
        """Do what is due, and what that makes due, in every partition."""
        again = True
        while again:
            again = False
            for watch in self.watches:
                while not await watch.look():
                    again = True
            await self.courier.settle()

    async def after(self, ms: int) -> None:
        """Let time pass, then do what is due."""
        await shift(self.store, ms)
        await self.settle()

    def count(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0


def names_in(partition: int, partitions: int, count: int = 1) -> Sequence[str]:
    """Workflow ids that fall into a partition."""
    ids = (f"wf-{n}" for n in itertools.count())
    return list(
        itertools.islice((i for i in ids if partition_of(i, partitions) == partition), count)
    )
