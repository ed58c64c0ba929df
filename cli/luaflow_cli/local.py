"""Everything an app needs, in this process: a scheduler and its workers, for ``luaflow test``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from luaflow.client import Client
    from luaflow.registry import App
    from luaflow.registry.entries import CallableEntry
    from luaflow.store.store import Store
    from luaflow_worker.node import Node

log = logging.getLogger(__name__)

DRAIN_SECONDS = 1.0
"""What activities that still run get when everything is stopped."""


class Part(Protocol):
    """Something that runs until it is stopped."""

    async def start(self) -> Any:
        """Start; return when it works."""

    async def stop(self) -> None:
        """Stop; return when it has stopped."""


@dataclass(frozen=True, slots=True)
class Running:
    """An app that runs here, and a client beside it."""

    app: App
    client: Client
    node: Node

    async def call(self, entry: CallableEntry) -> Any:
        """Call a function as a process with its own inbox; raises WorkflowFailed."""
        return await self.node.call(entry, [])


async def open_namespace(url: str, namespace: str) -> Store:
    """The store of a namespace, which is created when it is not there."""
    from luaflow.errors import AlreadyExists, NotFound
    from luaflow.store.checks import check_at_start
    from luaflow.store.links import make_link
    from luaflow.store.namespaces import Settings, create_namespace
    from luaflow.store.store import Store

    with contextlib.suppress(NotFound):
        return await Store.open(url, namespace)
    link = make_link(url)
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
    from luaflow_worker.modules.egress import allow_private
    from luaflow_worker.node import Node

    allow_private()
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
        node = Node(app, Client(store), settings=store.settings)
        stack.push_async_callback(node.close)
        for part in _beside(app, node, await connect()):
            await _start_if_it_can(part, stack)
        yield Running(app, Client(store), node)


async def parts(app: App, connect: Callable[[], Awaitable[Store]]) -> list[Part]:
    """What workflows need, in the order it is started: each part has connections of its own."""
    from luaflow_scheduler.scheduler import Scheduler
    from luaflow_worker.worker import Worker, WorkerConfig

    found: list[Part] = [Scheduler(await connect())]
    for queue in sorted({worker.task_queue for worker in app.workers.values()}):
        config = WorkerConfig((queue,), app=app.root, drain_seconds=DRAIN_SECONDS)
        found.append(Worker(await connect(), config, app=app))
    return found


def _beside(app: App, node: Node, store: Store) -> list[Part]:
    """What the app's entries ask to run beside its code: processes, and HTTP where it is there.

    Processes share the node of the tests: these know them by their local names.
    """
    from luaflow_cli.serve import has_http
    from luaflow_worker.process_services import ProcessServices

    found: list[Part] = [ProcessServices(node)]
    if has_http():
        from prometheus_client import CollectorRegistry

        from luaflow_web.serving import WebConfig, WebServer, starting_by_themselves

        if starting_by_themselves(app):
            config = WebConfig(app, api=None, processes=False)
            found.append(WebServer(store, config, CollectorRegistry()))
    return found


async def _start_if_it_can(part: Part, stack: contextlib.AsyncExitStack) -> None:
    """Start something that not every test needs: where it cannot, a line says so."""
    from luaflow.errors import LuaflowError

    try:
        await part.start()
    except LuaflowError as error:
        log.warning("%s", error.message)
    else:
        stack.push_async_callback(part.stop)
