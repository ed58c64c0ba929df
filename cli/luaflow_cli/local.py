"""Everything an app needs, in this process: a scheduler and its workers, for ``luaflow test``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from luaflow.client import Client
    from luaflow.registry import App
    from luaflow.registry.entries import CallableEntry
    from luaflow.store.store import Store

DRAIN_SECONDS = 1.0
"""What activities that still run get when everything is stopped."""


class Part(Protocol):
    """Something that runs until it is stopped."""

    async def start(self) -> None:
        """Start; return when it works."""

    async def stop(self) -> None:
        """Stop; return when it has stopped."""


@dataclass(frozen=True, slots=True)
class Running:
    """An app that runs here, and a client beside it."""

    app: App
    client: Client

    async def call(self, entry: CallableEntry) -> Any:
        """Call a function as a process with its own inbox; raises WorkflowFailed."""
        from luaflow_worker.calling import call_with_client

        return await call_with_client(self.client, self.app, entry, [])


async def open_namespace(url: str, namespace: str) -> Store:
    """The store of a namespace, which is created when it is not there."""
    from luaflow.errors import AlreadyExists, NotFound
    from luaflow.store.checks import check_at_start
    from luaflow.store.link import Link
    from luaflow.store.namespaces import Settings, create_namespace
    from luaflow.store.store import Store

    with contextlib.suppress(NotFound):
        return await Store.open(url, namespace)
    link = Link(url)
    try:
        with contextlib.suppress(AlreadyExists):
            await check_at_start(link)
            await create_namespace(link, namespace, Settings())
    finally:
        await link.close()
    return await Store.open(url, namespace)


@contextlib.asynccontextmanager
async def running(app: App, url: str, namespace: str) -> AsyncIterator[Running]:
    """Deploy an app and run all that it needs; left, everything has stopped."""
    from luaflow.client import Client
    from luaflow.deploy import deploy
    from luaflow.store.checks import check_at_start
    from luaflow.store.store import Store

    async with contextlib.AsyncExitStack() as stack:

        async def connect() -> Store:
            store = await Store.open(url, namespace, name="luaflow-test")
            stack.push_async_callback(store.close)
            return store

        store = await open_namespace(url, namespace)
        stack.push_async_callback(store.close)
        await check_at_start(store)
        await deploy(store, app)
        for part in await parts(app, connect):
            stack.push_async_callback(part.stop)
            await part.start()
        yield Running(app, Client(store))


async def parts(app: App, connect: Callable[[], Awaitable[Store]]) -> list[Part]:
    """What runs for an app, in the order it is started: each part has connections of its own.

    This is the one place to name another: whatever an app's entries ask to run beside them.
    """
    from luaflow_scheduler.scheduler import Scheduler
    from luaflow_worker.worker import Worker, WorkerConfig

    found: list[Part] = [Scheduler(await connect())]
    for queue in sorted({worker.task_queue for worker in app.workers.values()}):
        config = WorkerConfig((queue,), app=app.root, drain_seconds=DRAIN_SECONDS)
        found.append(Worker(await connect(), config, app=app))
    return found
