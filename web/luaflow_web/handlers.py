"""Handlers: where the functions of an app answer requests, and what runs beside them."""

from __future__ import annotations

import uuid
from typing import Final

from luaflow.client import Client
from luaflow.registry.app import App
from luaflow.registry.entries import FunctionEntry
from luaflow.store.keys import Partition
from luaflow_web.exchange import HttpExchange
from luaflow_worker.attempt import Attempt, Outcome, limits_of
from luaflow_worker.functions import FunctionHost
from luaflow_worker.http_calls import STATE
from luaflow_worker.python_activities import PythonActivities
from luaflow_worker.world import ClientWorld

NODE: Final = "http"
"""The first part of the PIDs of handlers."""
THREADS: Final = 16
"""How many Python functions, called by handlers, run side by side."""
CPU_SECONDS: Final = 1.0


class Handlers:
    """Runs the handlers of one app; ``client`` is what they start workflows with."""

    def __init__(self, app: App, client: Client) -> None:
        limits = limits_of(client.store.settings)
        self._python = PythonActivities(app.root, threads=THREADS, limits=limits)
        self._host = FunctionHost(
            app,
            self._python,
            ClientWorld(client),
            node=NODE,
            cpu_seconds=CPU_SECONDS,
            limits=limits,
        )

    async def start(self) -> None:
        """Start what the app wants to run beside its handlers: its ``process.service`` entries."""

    async def run(self, func: FunctionEntry, exchange: HttpExchange) -> Outcome:
        """Let a function answer a request; cancelling this ends it where it waits."""
        attempt = Attempt(
            partition=Partition("http", 0),
            workflow_id="",
            run_id=uuid.uuid4().hex,
            seq=0,
            activity=func.id,
            input=b"[]",
            token="",
            queue="",
        )
        return await self._host.call(func, attempt, state={STATE: exchange})

    async def close(self) -> None:
        """End everything that runs here."""
        self._python.close()
