"""What each role of deploy/redis/users.acl does in a day, on a real server, as its own user.

``Town`` is a namespace with an app. ``DAYS`` are the roles: each does all that it needs a
permission for; what others have to do meanwhile is done by a user who may do anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import redis.asyncio
from prometheus_client import CollectorRegistry
from tests.support import acl

from luaflow.client import Client
from luaflow.client.asking import ASK_SECONDS
from luaflow.client.handle import Handle
from luaflow.deploy import compare, deploy
from luaflow.deploy_schedules import deploy_schedules
from luaflow.errors import NoAnswer
from luaflow.registry.app import load_app
from luaflow.store import keys
from luaflow.store.checks import check_at_start
from luaflow.store.deployed import delete_build, list_builds
from luaflow.store.keeping import keep_run
from luaflow.store.keys import Partition
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace, list_namespaces
from luaflow.store.opening import open_store
from luaflow.store.store import Store
from luaflow_cli.stack import stack_of
from luaflow_scheduler import bundles as bundle_sweep
from luaflow_scheduler.bundles import BundleSweep
from luaflow_scheduler.dates import Date
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.removing import remove
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.scheduler import Scheduler
from luaflow_worker.node import Node
from luaflow_worker.worker import Worker, WorkerConfig

WITHIN = 20.0
"""Seconds that a day may take."""
_NOBODY: Final = frozenset({"command: config|get", "command: client|setinfo"})
"""What everybody asks and nobody is given: passwords stand in CONFIG."""

_APP: Final = """
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "redis://localhost:6379"}
  - name: worker
    kind: temporal.worker
    client: client
    task_queue: q
    worker_options: {use_versioning: true, deployment_name: town, build_id: "1"}
  - {name: processes, kind: process.host}
  - name: order
    kind: workflow.lua
    method: main
    modules: [funcs, time, workflow]
    meta: {temporal: {workflow: {worker: worker}}}
    source: |
      local funcs, time = require("funcs"), require("time")
      local function main(name, priority)
        local n = 0
        require("workflow").on_query("count", function() return n end)
        local options = {["activity.priority"] = {priority_key = priority or 3}}
        local how = funcs.new():with_options(options)
        n = how:call("app:double", 21)
        time.sleep("20ms")
        if name then process.send(name, "said", n) end
        return n
      end
      return { main = main }
  - name: waits
    kind: workflow.lua
    method: main
    modules: [workflow]
    meta: {temporal: {workflow: {worker: worker}}}
    source: |
      local function main()
        require("workflow").on_query("count", function() return 1 end)
        return process.listen("stop"):receive()
      end
      return { main = main }
  - name: locks
    kind: workflow.lua
    method: main
    modules: [workflow]
    meta: {temporal: {workflow: {worker: worker}}}
    source: |
      local workflow = require("workflow")
      local function main()
        local lock = workflow.lock("the door")
        workflow.on_query("count", function() return 0 end)
        process.listen("stop"):receive()
        lock:release()
      end
      return { main = main }
  - name: double
    kind: function.lua
    method: main
    meta: {temporal: {activity: {worker: worker}}}
    source: "return { main = function(x) return x * 2 end }"
  - name: hears
    kind: function.lua
    method: main
    modules: [funcs]
    meta: {temporal: {activity: {worker: worker}}}
    source: |
      local function main(name, priority)
        local said = process.listen("said")
        local _, err = process.registry.register(name, nil, process.registry.EVENTUAL)
        if err then return nil, err end
        local done, failed = process.exec("app:order", "app:worker", name, priority)
        if failed then return nil, failed end
        return said:receive()
      end
      return { main = main }
"""
SCHEDULE: Final = """
  - name: nightly
    kind: schedule
    workflow: order
    cron: "0 3 * * *"
"""


async def tidily(work: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, also when whoever waits for it is cancelled meanwhile."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


class Town:
    """A namespace of one partition on a server, its app, and the address of each role."""

    def __init__(
        self, url: str, namespace: str, folder: Path, *, extra: Sequence[str] = ()
    ) -> None:
        """``extra``: rules that every role needs on such a server."""
        self.url = url
        self._extra = extra
        self.namespace = namespace
        self.folder = folder
        self.said: list[str] = []

    async def build(self) -> None:
        """Make the namespace and its users; the app is deployed by one who may do anything."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "_index.yaml").write_text(_APP)
        link = make_link(self.url)
        archive = f"file://{self.folder.parent}/archive"
        await create_namespace(link, self.namespace, Settings(partitions=1, archive=archive))
        for role, rules in acl.users(self.namespace).items():
            await acl.make_user(link, self.namespace, role, [*rules, *self._extra])
        await link.close()
        async with self.anyone() as client:
            await deploy(client.store, load_app(self.folder))

    def address(self, role: str) -> str:
        """The address for the user of a role."""
        return acl.url_as(self.url, role, self.namespace)

    @contextlib.asynccontextmanager
    async def anyone(self) -> AsyncIterator[Client]:
        """A client that may do anything."""
        async with await Client.connect(self.url, self.namespace) as client:
            yield client

    @contextlib.asynccontextmanager
    async def opened(self, role: str, part: str) -> AsyncIterator[Store]:
        """The store of a role, as its process opens it; what was wrong goes to ``said``."""
        store = await open_store(
            self.address(role), self.namespace, asyncio.Event(), name=f"luaflow-{part}"
        )
        assert store
        try:
            self.said += [text for text in store.findings or () if "known hole" not in text]
            yield store
        finally:
            await tidily(store.close())

    @contextlib.asynccontextmanager
    async def worker(self, store: Store) -> AsyncIterator[Worker]:
        """A worker of the app."""
        worker = Worker(store, WorkerConfig(("q",), app=self.folder))
        try:
            await worker.start()
            yield worker
        finally:
            await tidily(worker.stop())

    @contextlib.asynccontextmanager
    async def others(self, *, work: bool, schedule: bool) -> AsyncIterator[Client]:
        """A client, and a worker and a scheduler who may do anything."""
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(self.anyone())
            if schedule:
                store = await Store.open(self.url, self.namespace)
                stack.push_async_callback(lambda store: tidily(store.close()), store)
                scheduler = Scheduler(store, CollectorRegistry())
                await scheduler.start()
                stack.push_async_callback(lambda: tidily(scheduler.stop()))
            if work:
                store = await Store.open(self.url, self.namespace)
                stack.push_async_callback(lambda store: tidily(store.close()), store)
                await stack.enter_async_context(self.worker(store))
            yield client


async def confirmed(store: Store) -> None:
    """A transition of a namespace that asks for more than its primary has."""
    former, store.link.confirm = store.link.confirm, ("WAIT", 0, 100)
    client = Client(store)
    await client.get_handle((await client.start("app:waits")).workflow_id).terminate()
    store.link.confirm = former


async def worker_day(town: Town) -> None:
    """Workflows, activities, lanes, letters, names, questions; and it leaves."""
    async with (
        town.others(work=False, schedule=True) as client,
        town.opened("worker", "worker") as store,
        town.worker(store),
    ):
        assert await client.call("app:hears", "ear", 1, queue="q") == 42
        handle = await client.start("app:order", options={"workflow.priority": {"priority_key": 5}})
        assert await handle.result(WITHIN) == 42
        assert await handle.query("count") == 42  # it is closed: any worker is asked
        await confirmed(store)


async def serve_day(town: Town) -> None:
    """Everything a client does, and functions in this process that hear letters."""
    async with (
        town.others(work=True, schedule=True) as other,
        town.opened("serve", "serve") as store,
    ):
        client = Client(store)
        node = Node(load_app(town.folder), client, settings=store.settings)
        try:
            assert await node.call("app:hears", ["mouth", 2]) == 42
        finally:
            await tidily(node.close())
        handle = await client.start("app:waits", options={"workflow.priority": {"priority_key": 1}})
        assert await handle.query("count") == 1
        assert await client.call("app:double", 4, queue="q") == 8
        await client.list("", 5)
        assert await client.count() > 0
        await client.list_jobs()
        await _described(client, other)
        async with _following(handle):
            await handle.signal("stop", "now")
            assert await handle.result(WITHIN) == "now"
        schedule = await client.create_schedule("often", "app:waits", cron="0 3 * * *")
        await client.list_schedules()
        await schedule.delete()
        await confirmed(store)
        with contextlib.suppress(NoAnswer):
            await _nobody_answers(client)


@contextlib.asynccontextmanager
async def _following(handle: Handle) -> AsyncIterator[None]:
    """Read the history of a run until it closes, while it goes on."""

    begun = asyncio.Event()

    async def follow() -> None:
        async for _ in handle.history(follow=True):
            begun.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await begun.wait()
        yield


async def _described(client: Client, other: Client) -> None:
    """Look at two runs: one has a lock, the other one waits for it."""
    runs = [await other.start("app:locks") for _ in range(2)]
    async with asyncio.timeout(WITHIN):
        while True:
            found = [await client.get_handle(run.workflow_id).describe() for run in runs]
            if {lock["state"] for one in found for lock in one["locks"]} == {"held", "waiting"}:
                break
            await asyncio.sleep(0.01)
    for run in runs:
        await run.terminate()


async def _nobody_answers(client: Client) -> None:
    """A question to a queue that nobody serves: it is taken back."""
    handle = await client.start("app:waits", task_queue="nobody")
    try:
        await handle.query("count", timeout=ASK_SECONDS / 1000)
    finally:
        await handle.terminate()


async def scheduler_day(town: Town) -> None:
    """Timers, relays, sweeps, gauges; code that nothing names; a run that goes to the archive."""
    async with town.others(work=True, schedule=False) as client:
        # three versions: one that its run names, one that nothing names, one that is deployed
        open_run = await client.start(
            "app:waits", options={"workflow.priority": {"priority_key": 1}}
        )
        await open_run.query("count")
        for version in ("second", "third"):
            (town.folder / "_index.yaml").write_text(_APP.replace("n = 0", f'n = "{version}"'))
            await deploy(client.store, load_app(town.folder))
        async with town.opened("scheduler", "scheduler") as store:
            scheduler = Scheduler(store, CollectorRegistry())
            await scheduler.start()
            try:
                handle = await client.start("app:order")
                assert await handle.result(WITHIN) == 42
                await _swept(store, client, scheduler)
                await _archived(store, client, handle)
                await confirmed(store)
            finally:
                await tidily(scheduler.stop())
        await open_run.terminate()


async def _swept(store: Store, client: Client, scheduler: Scheduler) -> None:
    """Code that nothing names goes, tasks and lanes that were lost come back."""
    with patch.object(bundle_sweep, "PAUSE", 0):
        sweep = BundleSweep(store, lambda: True)
        await sweep.look()
        await sweep.look()
    await scheduler.sweep.visit(store.partitions[0])
    await client.store.read(("DEL", keys.lanes(store.namespace)))  # as a fail-over may
    await scheduler.sweep.visit(store.partitions[0])


async def _archived(store: Store, client: Client, handle: Handle) -> None:
    """A closed run leaves Redis at once."""
    p, run_id = store.partitions[0], str(handle.run_id)
    await client.store.one(keep_run(partition=p, run_id=run_id, verb="settle", ms=1))
    await asyncio.sleep(0.01)
    metrics = SchedulerMetrics(CollectorRegistry())
    left = await remove(store, p, [Date(p.gc, run_id, "0")], metrics, Retention(store))
    assert not left, left


async def deployer_day(town: Town) -> None:
    """An app with a schedule, twice; what is deployed, and a build that is deleted."""
    (town.folder / "_index.yaml").write_text(_APP + SCHEDULE)
    app = load_app(town.folder)
    async with await Client.connect(town.address("deployer"), town.namespace) as client:
        store = client.store
        store.part = "deploy"
        await check_at_start(store)
        for change in ("new", "same"):
            await compare(store, app)
            await deploy(store, app)
            assert [one.change for one in await deploy_schedules(store, app)] == [change]
        assert ("town", "1") in await list_builds(store)
        assert await delete_build(store, "town", "1")
        (town.folder / "_index.yaml").write_text(_APP)
        store.link.confirm = ("WAIT", 0, 100)  # a namespace may ask for more than its primary
        left = await deploy_schedules(store, load_app(town.folder))
        assert [one.change for one in left] == ["removed"]


async def reader_day(town: Town) -> None:
    """What people look at; nothing of it changes anything."""
    async with town.others(work=True, schedule=True) as other:
        done = await other.start("app:order")
        await done.result(WITHIN)
        waits = await other.start("app:waits")
        await waits.query("count")
        schedule = await other.create_schedule("often", "app:waits", cron="0 3 * * *")
        async with await Client.connect(town.address("reader"), town.namespace) as client:
            assert (await client.list("", 5))["workflows"]
            assert await client.count() > 0
            await client.list_jobs()
            assert await client.list_schedules()
            await list_builds(client.store)
            assert await list_namespaces(client.store.link)
            handle = client.get_handle(done.workflow_id)
            assert (await handle.describe())["status"] == "completed"
            assert (await stack_of(client, done.workflow_id, None))["status"] == "completed"
            await _described(client, other)
            assert [event async for event in handle.history()]
            async with _following(client.get_handle(waits.workflow_id)):
                await waits.signal("stop", "now")
        await schedule.delete()


async def metrics_day(town: Town) -> None:
    """What autoscalers and exporters ask: the server's INFO, the lengths of the queues."""
    p = Partition(town.namespace, 0)
    async with redis.asyncio.Redis.from_url(town.address("metrics")) as client:
        assert (await client.info("everything"))["redis_version"]
        for queue in (p.workflow_queue("q"), p.activity_queue("q")):
            assert await client.xlen(queue) == 0


def expected(role: str) -> frozenset[str]:
    """What a role may be refused without harm; a reader runs no scripts."""
    return _NOBODY | ({"command: info", "command: script|load"} if role == "reader" else set())


DAYS: dict[str, Callable[[Town], Awaitable[None]]] = {
    "worker": worker_day,
    "scheduler": scheduler_day,
    "serve": serve_day,
    "deployer": deployer_day,
    "reader": reader_day,
    "metrics": metrics_day,
}
