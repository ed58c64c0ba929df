"""Calling a function of an app in this process, without a worker: ``luaflow call``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from luaflow.client.client import Client
from luaflow.registry.app import App
from luaflow.registry.entries import CallableEntry
from luaflow.store.namespaces import Settings
from luaflow_worker.node import Node


async def call_function(
    app: App,
    entry: CallableEntry,
    args: list[Any],
    client: Client | Callable[[], Awaitable[Client]],
    settings: Settings | None = None,
) -> Any:
    """Run a function of the app here, as a process with its own inbox; return its result.

    ``client`` is an open one, or what connects one when the code first needs it. Raises
    WorkflowFailed when the function fails, Invalid for arguments that cannot be written.
    """
    node = Node(app, client, settings=settings)
    try:
        return await node.call(entry, args)
    finally:
        await node.close()


async def call_with_client(client: Client, app: App, entry: CallableEntry, args: list[Any]) -> Any:
    """The same, where a client is open already: what ``Client.call`` does."""
    return await call_function(app, entry, args, client, client.store.settings)
