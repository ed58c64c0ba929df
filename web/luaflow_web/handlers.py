"""Handlers: where the functions of an app answer requests, and what runs beside them."""

from __future__ import annotations

from typing import Final

from luaflow.client import Client
from luaflow.registry.app import App
from luaflow.registry.entries import FunctionEntry
from luaflow_web.exchange import HttpExchange
from luaflow_worker.attempt import Outcome
from luaflow_worker.http_calls import STATE
from luaflow_worker.node import Node
from luaflow_worker.process_services import ProcessServices

THREADS: Final = 16
"""How many Python functions, called by handlers, run side by side."""


class Handlers:
    """Runs the handlers of one app; ``client`` is what they start workflows with."""

    def __init__(self, app: App, client: Client) -> None:
        self.node = Node(app, client, settings=client.store.settings, threads=THREADS)
        self._services = ProcessServices(self.node)

    async def start(self) -> None:
        """Start what the app wants to run beside its handlers: its ``process.service`` entries."""
        await self._services.start()

    async def run(self, func: FunctionEntry, exchange: HttpExchange) -> Outcome:
        """Let a function answer a request; cancelling this ends it where it waits."""
        return await self.node.run(func, [], state={STATE: exchange})

    async def close(self) -> None:
        """End everything that runs here."""
        await self._services.stop()
        await self.node.close()
