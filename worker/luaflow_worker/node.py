"""A node: the functions and processes of one app in one OS process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from luaflow.client.client import Client
from luaflow.domain import values
from luaflow.errors import NotFound, WorkflowFailed
from luaflow.registry.app import App
from luaflow.registry.entries import CallableEntry, FunctionEntry
from luaflow.store.keys import Partition
from luaflow.store.namespaces import Settings
from luaflow_worker.attempt import Attempt, Outcome, limits_of
from luaflow_worker.functions import FunctionCall, FunctionHost, State
from luaflow_worker.process_work import check_host, new_process, run_process
from luaflow_worker.processes import Processes
from luaflow_worker.python_activities import PythonActivities
from luaflow_worker.world import World

log = logging.getLogger(__name__)

THREADS = 4
"""How many Python functions run side by side, unless the node is told."""


class Node:
    """Where functions and processes of an app run; one for each OS process and app.

    ``Node(app, client)``, or with a function that connects a client when code first needs one
    (``luaflow call`` needs no server before). Then, as often as wanted::

        value = await node.call(entry, [args], context={}, state={})   # raises WorkflowFailed
        outcome = await node.run(entry, [args])                        # never raises for the code
        process = node.spawn("app:worker", "app:processes", [args], name="w")
        outcome = await process.ending()
        process.end(Outcome(failure=canceled()))
        await node.close()

    ``state`` is handed to the call as ``FunctionCall.state``, where modules of a host (an HTTP
    request) find it. ``host`` runs activities (``host.begin``); ``processes`` knows who runs here.
    Nothing is read from Redis before a PID of this node leaves it; then one inbox is, for all.
    """

    def __init__(
        self,
        app: App,
        client: Client | Callable[[], Awaitable[Client]],
        *,
        settings: Settings | None = None,
        cpu_seconds: float = 1.0,
        threads: int = THREADS,
    ) -> None:
        """``settings`` are the namespace's, for its limits; ``cpu_seconds`` those of one step."""
        limits = limits_of(settings or Settings())
        self.app = app
        self.world = World(client)
        self.processes = Processes(self.world)
        self.python = PythonActivities(app.root, threads=threads, limits=limits)
        self.host = FunctionHost(
            app, self.python, self.processes, cpu_seconds=cpu_seconds, limits=limits
        )

    async def call(
        self,
        entry: CallableEntry | str,
        args: list[Any],
        *,
        context: Mapping[str, Any] | None = None,
        state: State | None = None,
    ) -> Any:
        """Call a function and return its result.

        Raises WorkflowFailed when it fails, NotFound for an id that is none, Invalid for arguments
        that cannot be written.
        """
        outcome = await self.run(entry, args, context=context, state=state)
        if (failure := outcome.failure) is None:
            return values.loads(outcome.result)
        raise WorkflowFailed(
            failure.message,
            kind=failure.kind,
            retryable=failure.retryable,
            details=failure.details,
        )

    async def run(
        self,
        entry: CallableEntry | str,
        args: list[Any],
        *,
        context: Mapping[str, Any] | None = None,
        state: State | None = None,
    ) -> Outcome:
        """The same; what the code returns, or fails with, is an outcome. Cancelling it ends it."""
        found = self._entry(entry)
        return await self.host.call(found, _attempt(found.id, args, context), state)

    def spawn(
        self,
        entry: CallableEntry | str,
        host: str,
        args: list[Any],
        *,
        context: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> FunctionCall:
        """Start a process on a process host; it lives until its code or the node ends.

        Raises NotFound for an entry or host that is none, AlreadyExists for a name that is taken,
        InvalidArgument for code that does not load.
        """
        found = self._entry(entry)
        check_host(self.app, found, host, found)
        assert isinstance(found, FunctionEntry)
        made = new_process(self.host, found, _attempt(found.id, args, context), host, name=name)
        self.processes.spawn(run_process(made))
        return made

    def _entry(self, entry: CallableEntry | str) -> CallableEntry:
        if not isinstance(entry, str):
            return entry
        found = self.app.functions.get(entry)
        if found is None:
            raise NotFound(f"there is no function or process {entry!r} in this app")
        return found

    async def close(self) -> None:
        """End everything that runs here, give the inbox back, close what the node opened."""
        await self.processes.close()
        await self.world.close()
        self.python.close()


def _attempt(name: str, args: list[Any], context: Mapping[str, Any] | None) -> Attempt:
    """What a call begins with that no workflow asked for."""
    return Attempt(
        partition=Partition("call", 0),
        workflow_id="",
        run_id="call",
        seq=0,
        activity=name,
        input=values.dumps(args),
        token="",
        queue="",
        called=True,
        context={key: values.encode(value) for key, value in (context or {}).items()},
    )
