"""Calling a function of an app in this process, without a worker: ``luaflow call``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from luaflow.client.client import Client
from luaflow.domain import values
from luaflow.errors import WorkflowFailed
from luaflow.registry.app import App
from luaflow.registry.entries import CallableEntry
from luaflow.store.keys import Partition
from luaflow.store.namespaces import Settings
from luaflow_worker.attempt import Attempt, limits_of
from luaflow_worker.functions import FunctionHost, World
from luaflow_worker.python_activities import PythonActivities
from luaflow_worker.world import ClientWorld

THREADS = 4
"""How many Python functions run side by side."""


async def call_function(
    app: App,
    entry: CallableEntry,
    args: list[Any],
    world: World,
    settings: Settings | None = None,
) -> Any:
    """Run a function of the app here, as a process with its own inbox; return its result.

    ``world`` is what it may do to workflows. Raises WorkflowFailed when it fails, Invalid for
    arguments that cannot be written.
    """
    limits = limits_of(settings or Settings())
    python = PythonActivities(app.root, threads=THREADS, limits=limits)
    host = FunctionHost(app, python, world, node="call", cpu_seconds=1.0, limits=limits)
    attempt = Attempt(
        partition=Partition("call", 0),
        workflow_id="",
        run_id="call",
        seq=0,
        activity=entry.id,
        input=values.dumps(args),
        token="",
        queue="",
    )
    try:
        outcome = await host.call(entry, attempt)
    finally:
        python.close()
    if (failure := outcome.failure) is None:
        return values.loads(outcome.result)
    raise WorkflowFailed(
        failure.message,
        kind=failure.kind,
        retryable=failure.retryable,
        details=failure.details,
    )


async def call_with_client(client: Client, app: App, entry: CallableEntry, args: list[Any]) -> Any:
    """The same, where a client is open already: what ``Client.call`` does."""
    return await call_function(app, entry, args, ClientWorld(client), client.store.settings)


class LateWorld:
    """What a function may do to workflows, by a client that connects when it is first needed."""

    def __init__(self, connect: Callable[[], Awaitable[Client]]) -> None:
        """``connect()`` makes the client, which ``close`` closes."""
        self._connect = connect
        self._client: Client | None = None

    async def _world(self) -> ClientWorld:
        if self._client is None:
            self._client = await self._connect()
        return ClientWorld(self._client)

    async def spawn(self, *args: Any) -> tuple[str, Any]:
        """Start a workflow."""
        return await (await self._world()).spawn(*args)

    async def send(self, *args: Any) -> None:
        """Signal a workflow."""
        await (await self._world()).send(*args)

    async def update(self, *args: Any) -> Any:
        """Send an update to a workflow."""
        return await (await self._world()).update(*args)

    async def query(self, *args: Any) -> Any:
        """Ask a workflow."""
        return await (await self._world()).query(*args)

    async def cancel(self, *args: Any) -> None:
        """Ask a workflow to cancel."""
        await (await self._world()).cancel(*args)

    async def terminate(self, *args: Any) -> None:
        """End a workflow."""
        await (await self._world()).terminate(*args)

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            await self._client.close()
