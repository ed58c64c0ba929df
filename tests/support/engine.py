"""The whole engine in one process: a namespace, deployed code, workers, a scheduler.

At its end every run is replayed from its stored history on a fresh engine and must ask for the same
commands, and every invariant of the store must hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
from prometheus_client import CollectorRegistry

from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.deploy import deploy, load_bundle
from luaflow.domain.events import Event
from luaflow.domain.ids import partition_of
from luaflow.errors import NotFound
from luaflow.lua.vm import Engine as LuaEngine
from luaflow.registry.app import load_app
from luaflow.replay.decider import Execution
from luaflow.replay.loading import bundle_of, pid_of, run_info, source_of
from luaflow.store import relay
from luaflow.store.courier import Courier
from luaflow.store.keys import Partition
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow_scheduler.closing import close_out
from luaflow_scheduler.dates import Date
from luaflow_scheduler.scheduler import Scheduler
from luaflow_worker.worker import Worker, WorkerConfig
from tests.protocol.invariants import problems_of, read_partition
from tests.support import acl
from tests.support.clock import shift
from tests.support.keys import forget
from tests.support.linting import linted
from tests.support.mutants import patience
from tests.support.topology import client_of

PATIENCE = 10.0
"""Seconds after which a test gives up a result; only a broken engine takes so long."""
MODULES = {
    "workflow": ["funcs", "time", "workflow", "json", "uuid"],
    "function": ["activity", "funcs", "time", "workflow", "json", "uuid"],
}


class Engine:
    """A namespace with everything around it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.client = Client(store)
        self.make: Make | None = None
        self.folder = folder
        self.workers: list[Worker] = []
        self.schedulers: list[Scheduler] = []

    # -- parts -----------------------------------------------------------------------------------

    async def deploy(
        self,
        workflows: Mapping[str, str] | None = None,
        *,
        activities: Mapping[str, str] | None = None,
        python: Mapping[str, str] | None = None,
        local: tuple[str, ...] = (),
        worker: Mapping[str, Any] | None = None,
    ) -> None:
        """Deploy Lua sources by name (``app:<name>``), and Python handlers; ``local``: activities.

        ``worker`` are options of the worker entry. Without any source the app folder that is there
        is deployed as it is.
        """
        if workflows or activities or python:
            self._write(workflows or {}, activities or {}, python or {}, local, worker or {})
        async with await Client.connect(*self._as("deployer")) as client:
            await deploy(client.store, load_app(self.folder))

    def _as(self, role: str) -> tuple[str, str]:
        """Where a part of the engine finds its data, as the user of a role where ACLs are on."""
        return acl.place(self.store.url, role, self.store.namespace), self.store.namespace

    def _write(
        self,
        workflows: Mapping[str, str],
        activities: Mapping[str, str],
        python: Mapping[str, str],
        local: tuple[str, ...],
        options: Mapping[str, Any],
    ) -> None:
        self.folder.mkdir(exist_ok=True)
        entries: list[dict[str, Any]] = [
            {"name": "client", "kind": "temporal.client", "address": "redis://localhost:6379"},
            {"name": "worker", "kind": "temporal.worker", "client": "client", "task_queue": "q"},
        ]
        if options:
            entries[1]["worker_options"] = dict(options)
        for kind, sources in (("workflow", workflows), ("function", activities)):
            for name, text in sources.items():
                (self.folder / f"{name}.lua").write_text(f"{text}\nreturn {{ main = main }}\n")
                entry: dict[str, Any] = {"name": name, "kind": f"{kind}.lua", "method": "main"}
                entry |= {"source": f"file://{name}.lua", "modules": MODULES[kind]}
                role: dict[str, Any] = {"worker": "worker"}
                if name in local:
                    role["local"] = True
                entry["meta"] = {
                    "temporal": {"workflow" if kind == "workflow" else "activity": role}
                }
                entries.append(entry)
        for name, handler in python.items():
            entry = {"name": name, "kind": "function.python", "handler": handler}
            entry["meta"] = {"temporal": {"activity": {"worker": "worker", "local": name in local}}}
            entries.append(entry)
        index = orjson.dumps({"version": "1.0", "namespace": "app", "entries": entries})
        (self.folder / "_index.json").write_bytes(index)

    async def worker(self, role: str = "all", **config: Any) -> Worker:
        """Start a worker with connections of its own."""
        store = await Store.open(*self._as("worker"), name="luaflow-worker")
        one = Worker(store, WorkerConfig(("q",), role=role, app=self.folder, **config))
        self.workers.append(one)
        await one.start()
        return one

    async def retire(self, worker: Worker) -> None:
        """Stop one worker as it should be stopped."""
        self.workers.remove(worker)
        await worker.stop()
        await worker.store.close()

    async def kill(self, worker: Worker) -> None:
        """End a worker as a crash does: nothing is said, nothing handed back."""
        self.workers.remove(worker)
        tasks = [
            *worker.workflows.background.tasks,
            *worker.activities.background.tasks,
            *worker._courier._running.values(),
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        worker._services[0].__dict__["close"] = _silent
        for service in worker._services:
            await service.stop()
        await worker._courier.close()
        worker.node.processes.inbox.__dict__["say_goodbye"] = _silent
        await worker.node.close()
        worker._turning.stop()
        await worker.store.close()

    async def scheduler(self) -> Scheduler:
        """Start a scheduler with connections of its own."""
        store = await Store.open(*self._as("scheduler"), name="luaflow-scheduler")
        one = Scheduler(store, CollectorRegistry())
        one._store = store
        self.schedulers.append(one)
        await one.start()
        return one

    # -- use -------------------------------------------------------------------------------------

    async def start(self, type: str, *args: Any, **how: Any) -> Handle:
        """Start a workflow of the app."""
        return await self.client.start(f"app:{type}", *args, **how)

    async def execute(self, type: str, *args: Any, **how: Any) -> Any:
        """Start a workflow and wait for its result."""
        return await (await self.start(type, *args, **how)).result(timeout=PATIENCE)

    async def history(self, handle: Handle) -> list[Event]:
        """The events of the handle's run as it is now."""
        return [event async for event in handle.history()]

    async def types(self, handle: Handle) -> list[str]:
        """The types of the events of the handle's run."""
        return [event.type for event in await self.history(handle)]

    async def until(self, handle: Handle, type: str) -> None:
        """Wait for an event of a type: a blocking read of the history, no polling."""
        hist = self.store.partition(handle.workflow_id).hist(str(handle.run_id))
        reader, last, found = Reader(self.store.url), "0", False
        try:
            async with asyncio.timeout(patience()):
                while not found:
                    answer = await reader.read("XREAD", "BLOCK", 3000, "STREAMS", hist, last)
                    for entry, fields in answer[0][1] if answer else ():
                        last = bytes(entry).decode()
                        found = found or fields[3] == type.encode()
        finally:
            await reader.close()

    async def fields(self, handle: Handle) -> dict[str, str]:
        """The hash of the handle's run."""
        assert handle.run_id
        p = self.store.partition(handle.workflow_id)
        (flat,) = await self.store.read(("HGETALL", p.run(handle.run_id)))
        texts = [bytes(x).decode() for x in flat]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    async def shift(self, ms: int) -> None:
        """Move namespace time (and all time, in a simulated namespace) in every partition."""
        await shift(self.store, ms)

    def id_in(self, partition: int, prefix: str = "w") -> str:
        """A workflow id of a partition."""
        count, n = len(self.store.partitions), 0
        while partition_of(f"{prefix}{n}", count) != partition:
            n += 1
        return f"{prefix}{n}"

    # -- the end ---------------------------------------------------------------------------------

    @property
    def excused(self) -> bool:
        """Whether a planted violation may leave anything behind."""
        return self.make is not None and self.make.excused

    @excused.setter
    def excused(self, value: bool) -> None:
        assert self.make
        self.make.excused = value

    async def stop(self) -> None:
        """Stop everything that was started."""
        while self.workers:
            await self.retire(self.workers[-1])
        while self.schedulers:
            scheduler = self.schedulers.pop()
            await scheduler.stop()
            await scheduler._store.close()

    async def check(self) -> None:
        """Stop, let what is under way arrive, replay every run, check every invariant."""
        await self.stop()
        problems = await self.problems()
        assert not problems, "\n".join(problems)
        await self.settle()
        await self.replay()
        problems = await self.problems(rest=True)
        assert not problems, "\n".join(problems)

    async def problems(self, *, rest: bool = False) -> list[str]:
        """What breaks an invariant in what is stored, payloads as they stand there."""
        border, self.store.border = self.store.border, None
        try:
            return await problems_of(self.store, rest=rest)
        finally:
            self.store.border = border

    async def settle(self) -> None:
        """Deliver what is in outboxes and close out what closed, as schedulers would."""
        courier = Courier(self.store)
        busy = True
        while busy:
            busy = False
            for p in self.store.partitions:
                (members,) = await self.store.read(("ZRANGE", p.leases, 0, -1))
                due = [Date(p.leases, bytes(m).decode(), "0") for m in members]
                closing = [d for d in due if d.kind == "z"]
                assert not await close_out(self.store, p, closing, courier)
                busy = busy or bool(closing)
                for date in due:
                    if date.kind == "o":
                        drained = await relay.drain_outbox(self.store, p.number, int(date.run_id))
                        busy = busy or bool(drained.settled)
        await courier.settle()

    async def replay(self) -> int:
        """Replay every run on a fresh engine; NonDeterminism where one differs. Return how many."""
        engines: dict[str, tuple[Any, LuaEngine]] = {}
        count = 0
        for p in self.store.partitions:
            for run in (await read_partition(self.store, p)).runs.values():
                name = bundle_of(run.events)
                if name not in engines:
                    try:
                        bundle = await load_bundle(self.store, name)
                    except NotFound:
                        continue
                    engines[name] = bundle, LuaEngine(source_of(bundle))
                self._replay(p, run.run_id, run.events, *engines[name])
                count += 1
        return count

    def _replay(
        self, p: Partition, run_id: str, events: list[Event], bundle: Any, engine: LuaEngine
    ) -> None:
        started = events[0].body
        info = run_info(
            self.store.namespace, started["workflow_id"], run_id, started, bundle, pid_of(started)
        )
        run = engine.open(info)
        Execution(run, _no_value).replay(events)
        run.close()


async def until(engine: Engine, handle: Any, type_: str) -> None:
    """Wait for an event of this type: a blocking read of the history, no polling."""
    p = engine.store.partition(handle.workflow_id)
    reader, last = Reader(engine.store.url), "0"
    try:
        async with asyncio.timeout(patience()):
            while True:
                answer = await reader.read(
                    "XREAD", "BLOCK", 3000, "STREAMS", p.hist(handle.run_id), last
                )
                for entry, fields in answer[0][1] if answer else ():
                    last = bytes(entry).decode()
                    if fields[3] == type_.encode():
                        return
    finally:
        await reader.close()


async def within(wait: Any) -> Any:
    """The result of something that must come soon."""
    async with asyncio.timeout(patience()):
        return await wait


async def _silent() -> None:
    """Say no good-bye."""


def _no_value(name: str) -> NoReturn:
    raise AssertionError(f"a replay made a value of its own: {name}")


class Make:
    """Makes the engine of a test with settings of its own: ``await make_engine(lease_ms=200)``."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self._url = url
        self._namespace = namespace
        self._folder = folder
        self._engine: Engine | None = None
        self.excused = False

    async def __call__(self, **settings: Any) -> Engine:
        """Make it; once a test."""
        link = make_link(self._url)
        await create_namespace(link, self._namespace, Settings(**settings))
        if acl.on():
            await acl.make_users(link, self._namespace)
        await link.close()
        store = await Store.open(self._url, self._namespace)
        self._engine = Engine(store, self._folder)
        if acl.on():
            self._engine.client = await Client.connect(*self._engine._as("serve"))
        return self._engine

    async def check(self) -> None:
        """Check what was made; see ``Engine.check``."""
        assert self._engine, "the test made no engine"
        await self._engine.check()

    async def close(self) -> None:
        """Stop everything."""
        if self._engine:
            await self._engine.stop()
            await self._engine.client.close()
            await self._engine.store.close()


@pytest.fixture
async def make_engine(redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Make]:
    """Make the test's engine with settings of its own; see ``Make``."""
    make = Make(redis_url, namespace, tmp_path / "app")
    with acl.instead_of(linted()) as found:
        try:
            yield make
            if not make.excused:
                await make.check()
        finally:
            await make.close()
    if make.excused:
        with client_of(redis_url) as server:
            forget(server, namespace)
        return
    assert not found, "\n".join(found)


@pytest.fixture
async def engine(make_engine: Make) -> Engine:
    """An engine of 16 partitions; deploy code and start workers as the test needs them."""
    one = await make_engine()
    one.make = make_engine
    return one
