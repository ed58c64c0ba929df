"""Entries of kind ``process.service``: processes that an app wants to run as long as it does.

``await ProcessServices(node).start()`` starts those with ``lifecycle.auto_start``, in the order of
their ``depends_on``. One that fails is started again after a pause that grows, unless its error is
not retryable or it was terminated; one that returns has ended. ``stop()`` ends them in the
opposite order: code that looks at ``process.events()`` is told (CANCEL) and may take
``stop_timeout``, other code ends at once.
A service is registered in its node under its own id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Invalid, canceled
from luaflow.errors import InvalidArgument, LuaflowError
from luaflow.registry.app import App
from luaflow.registry.entries import Entry
from luaflow_worker.attempt import Outcome
from luaflow_worker.functions import FunctionCall
from luaflow_worker.node import Node

log = logging.getLogger(__name__)

KIND = "process.service"


@dataclass(frozen=True, slots=True)
class Restart:
    """When a service that failed is started again; ``max_attempts`` in a row, 0 without end."""

    initial_ms: int = 1000
    max_ms: int = 90_000
    factor: float = 2.0
    jitter: float = 0.1
    max_attempts: int = 0

    def pause(self, failures: int) -> float | None:
        """Seconds before the start that follows this many failures in a row; None: no more."""
        if self.max_attempts and failures > self.max_attempts:
            return None
        ms = min(self.initial_ms * self.factor ** min(failures - 1, 64), self.max_ms)
        return ms * (1 + self.jitter * random.uniform(-1, 1)) / 1000


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One entry, read: what to run where, and how it is kept. Times in milliseconds."""

    id: str
    process: str
    host: str
    args: tuple[Any, ...]
    auto_start: bool
    depends_on: tuple[str, ...]
    stop_timeout: int
    stable: int
    restart: Restart


def services_of(app: App) -> list[ServiceSpec]:
    """The services of an app that start by themselves, each behind those it depends on.

    Raises InvalidArgument, naming file and line, for an entry that cannot be read and for services
    that wait for each other.
    """
    specs = {e.id: _read(e) for e in app.entries.values() if e.kind == KIND}
    ordered: dict[str, ServiceSpec] = {}

    def visit(spec: ServiceSpec, above: tuple[str, ...]) -> None:
        if spec.id in above:
            raise InvalidArgument(f"services wait for each other: {' -> '.join((*above, spec.id))}")
        for other in spec.depends_on:
            if other in specs:
                visit(specs[other], (*above, spec.id))
        ordered.setdefault(spec.id, spec)

    for spec in specs.values():
        if spec.auto_start:
            visit(spec, ())
    return list(ordered.values())


def _read(entry: Entry) -> ServiceSpec:
    data, place = entry.data, f"{entry.file}:{entry.line()}: {entry.id}"
    lifecycle = data.get("lifecycle") or {}
    restart = lifecycle.get("restart") or {} if isinstance(lifecycle, Mapping) else None
    if not isinstance(restart, Mapping):
        raise InvalidArgument(f"{place}: lifecycle and lifecycle.restart must be mappings")
    try:
        return ServiceSpec(
            id=entry.id,
            process=_reference(entry, "process"),
            host=_reference(entry, "host"),
            args=tuple(data.get("input") or ()),
            auto_start=lifecycle.get("auto_start") is True,
            depends_on=tuple(
                _absolute(entry, name)
                for key in ("depends_on", "requires")
                for name in lifecycle.get(key) or ()
            ),
            stop_timeout=_ms(lifecycle, "stop_timeout", 10_000),
            stable=_ms(lifecycle, "stable_threshold", 5000),
            restart=Restart(
                _ms(restart, "initial_delay", 1000),
                _ms(restart, "max_delay", 90_000),
                float(restart.get("backoff_factor", 2.0)),
                float(restart.get("jitter", 0.1)),
                int(restart.get("max_attempts", 0)),
            ),
        )
    except (Invalid, TypeError, ValueError) as error:
        raise InvalidArgument(f"{place}: {error}") from error


def _ms(table: Mapping[str, Any], key: str, default: int) -> int:
    return duration_ms(table.get(key, default), f"lifecycle.{key}")


def _reference(entry: Entry, key: str) -> str:
    name = entry.data.get(key)
    if not isinstance(name, str) or not name:
        raise Invalid(f"{key} is required: name the {key} of the service")
    return _absolute(entry, name)


def _absolute(entry: Entry, name: str) -> str:
    return name if ":" in name else f"{entry.namespace}:{name}"


class ProcessServices:
    """Runs the ``process.service`` entries of a node's app until it is stopped."""

    def __init__(self, node: Node) -> None:
        """Read the entries; InvalidArgument for those that cannot be."""
        self._node = node
        self._specs = services_of(node.app)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, FunctionCall] = {}
        self._stopping = False

    @property
    def running(self) -> Mapping[str, FunctionCall]:
        """The processes that run now, by the ids of their services."""
        return self._running

    async def start(self) -> None:
        """Start the services; a second call does nothing.

        Raises what ``Node.spawn`` raises where one cannot even be started; then none runs.
        """
        try:
            for spec in self._specs if not self._tasks else ():
                self._begin(spec)
                work = self._keep(spec)
                self._tasks[spec.id] = asyncio.create_task(work, name="luaflow-process-service")
        except LuaflowError:
            await self.stop()
            raise

    def _begin(self, spec: ServiceSpec) -> FunctionCall:
        made = self._node.spawn(spec.process, spec.host, list(spec.args), name=spec.id)
        self._running[spec.id] = made
        return made

    async def _keep(self, spec: ServiceSpec) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            since = loop.time()
            failure = (await self._running[spec.id].ending()).failure
            self._running.pop(spec.id, None)
            if failure is None or self._stopping:
                log.info("service %s has ended", spec.id)
                return
            if failure.retryable is False or failure.kind == "Canceled":
                log.error("service %s stays down: %s", spec.id, failure.message)
                return
            lasted = (loop.time() - since) * 1000
            failures = 1 if lasted >= spec.stable else failures + 1
            pause = spec.restart.pause(failures)
            if pause is None:
                log.error("service %s failed %d times; it stays down", spec.id, failures)
                return
            log.warning("service %s failed, starting it again in %.1f s", spec.id, pause)
            await asyncio.sleep(pause)
            try:
                self._begin(spec)
            except LuaflowError as error:  # somebody else has its name, say
                log.error("service %s cannot be started: %s", spec.id, error)  # noqa: TRY400
                return

    async def stop(self) -> None:
        """Stop all of them, the last one first; returns when none runs."""
        self._stopping = True
        for spec in reversed(self._specs):
            task, made = self._tasks.get(spec.id), self._running.get(spec.id)
            if made is not None:
                await _stop(made, spec.stop_timeout / 1000)
            if task is not None:
                task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self._running.clear()
        self._stopping = False


async def _stop(made: FunctionCall, seconds: float) -> None:
    made.cancel()
    try:
        async with asyncio.timeout(seconds):
            await made.ending()
    except TimeoutError:
        made.end(Outcome(failure=canceled()))
