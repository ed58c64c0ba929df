"""Lua functions: the same kernel as workflows, its commands carried out here and now.

A call of a ``function.lua`` entry (as an activity, or by ``luaflow call``) is a run in an engine of
its entry. What a workflow would record, a function does: ``funcs.call`` calls the other function,
``time.sleep`` waits, ``process.spawn`` starts the workflow. Only the source of wake-ups differs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Coroutine
from typing import Any, Protocol

import orjson

from luaflow.activity import Context, Info
from luaflow.domain.failure import Failure, canceled
from luaflow.domain.lanes import base_of
from luaflow.errors import (
    LuaflowError,
)
from luaflow.lua.vm import Activation, ActivationFault, Command, Engine, LoadError, Run
from luaflow.registry.app import App
from luaflow.registry.bundle import bundle_entry
from luaflow.registry.entries import CallableEntry, FunctionEntry, PythonEntry
from luaflow.replay.loading import source_of
from luaflow_worker.attempt import Attempt, Limits, Outcome, check_size
from luaflow_worker.function_services import SERVICES
from luaflow_worker.function_work import WORK, failure_of_call
from luaflow_worker.python_activities import PythonActivities

log = logging.getLogger("luaflow.lua")


class World(Protocol):
    """What a function may do to workflows: a client, seen from a function."""

    async def spawn(self, command: Command, extra: dict[str, Any], sender: str) -> tuple[str, Any]:
        """Start a workflow; return its PID and a handle whose ``result()`` awaits it."""

    async def send(self, to: str, topic: str, payloads: list[Any], sender: str) -> None:
        """Signal a workflow by PID."""

    async def cancel(self, to: str, reason: str | None) -> None:
        """Ask a workflow to cancel."""

    async def terminate(self, to: str) -> None:
        """End a workflow."""


class FunctionHost:
    """Runs the function entries of one app."""

    def __init__(
        self,
        app: App,
        python: PythonActivities,
        world: World,
        *,
        node: str,
        cpu_seconds: float,
        limits: Limits,
    ) -> None:
        """``node`` is the first part of the functions' PIDs."""
        self.app = app
        self.python = python
        self.world = world
        self.node = node
        self.limits = limits
        self._cpu_seconds = cpu_seconds
        self._engines: dict[str, Engine] = {}

    def begin(self, entry: FunctionEntry, attempt: Attempt) -> FunctionCall:
        """Begin a call; ``call.outcome`` is there at once when it never waited."""
        call = FunctionCall(self, entry, attempt)
        try:
            call.run = self._engine(entry).open(call.info())
        except LoadError as error:
            call.outcome = Outcome(failure=Failure("Invalid", error.message, retryable=False))
            return call
        call.run.log = call.write_log
        call.feed(b"start", attempt.input, attempt.context)
        return call

    def _engine(self, entry: FunctionEntry) -> Engine:
        engine = self._engines.get(entry.id)
        if engine is None or engine.broken:
            source = source_of(bundle_entry(self.app, entry.id))
            engine = Engine(source, kind="function", cpu_seconds=self._cpu_seconds)
            self._engines[entry.id] = engine
        return engine

    async def call(self, entry: CallableEntry, attempt: Attempt) -> Outcome:
        """Call a function to its end, whatever its language."""
        if isinstance(entry, PythonEntry):
            return await self.python.run(entry, attempt, Context(info_of(attempt), lambda _: None))
        call = self.begin(entry, attempt)
        return call.outcome or await call.wait()


class FunctionCall:
    """One call of a Lua function: a run, and the tasks that carry out what it asks for."""

    def __init__(self, host: FunctionHost, entry: FunctionEntry, attempt: Attempt) -> None:
        """Prepare; ``FunctionHost.begin`` starts it."""
        self.host = host
        self.entry = entry
        self.attempt = attempt
        self.outcome: Outcome | None = None
        self.run: Run
        self.context = Context(info_of(attempt), lambda _: None)
        self.pid = f"{{{host.node}@{entry.id}|{uuid.uuid4().hex}}}"
        self._tasks: dict[int, asyncio.Task[Any] | asyncio.TimerHandle] = {}
        self._ended: asyncio.Future[None] | None = None

    def info(self) -> dict[str, Any]:
        """Return what the kernel is told of the call."""
        a = self.attempt
        return {
            "workflow_id": a.workflow_id,
            "run_id": f"{a.run_id}/{a.seq}/{a.number}/{os.getpid()}/{id(self)}",
            "workflow_type": a.workflow_type,
            "task_queue": base_of(a.queue),
            "attempt": a.number,
            "pid": self.pid,
            "entry_id": self.entry.id,
        }

    async def wait(self) -> Outcome:
        """Wait for the end; cancelling this ends the function where it stands."""
        self._ended = asyncio.get_running_loop().create_future()
        try:
            if self.outcome is None:
                await self._ended
        except asyncio.CancelledError:
            self._end(Outcome(failure=canceled()))
            if not self.context.cancelled:
                raise
        assert self.outcome is not None
        return self.outcome

    def feed(self, op: bytes, *args: Any) -> None:
        """Feed one wake-up and carry out what the code then asks for."""
        if self.outcome is not None:
            return
        try:
            out = self._step(op, *args)
            while out.status == "service":
                self._carry_out(out)
                assert out.service is not None
                out = self._step(b"reply", *self._serve(*out.service))
        except ActivationFault as fault:
            kind = "Timeout" if fault.reason == "cpu" else "Internal"
            self._end(Outcome(failure=Failure(kind, fault.message, retryable=False)))
            return
        self._carry_out(out)
        if out.status in ("done", "continued"):
            self._end(check_size(self.attempt, out.result or b"null", self.host.limits))
        elif out.status == "failed":
            self._end(Outcome(failure=Failure.from_json(orjson.loads(out.failure or b"{}"))))

    def _step(self, op: bytes, *args: Any) -> Activation:
        return self.run.step(op, time.time_ns() // 1_000_000, 0, 0, *args)

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is not None:
            return
        self.outcome = outcome
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self.run.close()
        if self._ended and not self._ended.done():
            self._ended.set_result(None)

    def _serve(self, name: str, *args: Any) -> tuple[Any, ...]:
        answer = SERVICES.get(name)
        if answer is None:
            raise LuaflowError(f"functions cannot ask for {name!r}")
        return answer(self, *args)

    def write_log(self, level: str, message: bytes, fields: bytes) -> None:
        """Pass a line of print or logger on to the log of this process."""
        extra = {
            "entry": self.entry.id,
            "pid": self.pid,
            "fields": fields.decode(errors="replace"),
        }
        log.log(
            getattr(logging, level.upper(), logging.INFO),
            message.decode(errors="replace"),
            extra=extra,
        )

    # -- what the code asks for ------------------------------------------------------------------

    def _carry_out(self, out: Activation) -> None:
        for command in out.commands:
            if command.op == "timer":
                self._timer(command)
            elif command.op in ("cancel_timer", "cancel_activity"):
                task = self._tasks.pop(int(command.name or b"0"), None)
                if task:
                    task.cancel()
            else:
                work = WORK.get(command.op)
                if work:
                    self._spawn(command.seq, work(self, command))

    def _timer(self, command: Command) -> None:
        seconds = max(0, int(command.data or b"0")) / 1e9
        loop = asyncio.get_running_loop()
        self._tasks[command.seq] = loop.call_later(seconds, self.resolve, command.seq, True, None)

    def _spawn(self, seq: int, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[seq] = asyncio.create_task(self._guard(seq, work), name="luaflow-function")

    async def _guard(self, seq: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (LuaflowError, ValueError) as error:
            self.resolve(seq, False, failure_of_call(error).to_json())

    def forget(self, seq: int) -> None:
        """Let go of the work of a command: it goes on, and nobody waits for it."""
        self._tasks.pop(seq, None)

    def resolve(self, seq: int, ok: bool, value: Any) -> None:
        """Feed the outcome of a command: its value, or the JSON of a failure."""
        self.forget(seq)
        self.feed(b"resolve", seq, ok, value)


def info_of(attempt: Attempt) -> Info:
    """What the code of an activity may know of its attempt."""
    return Info(
        activity=attempt.activity,
        attempt=attempt.number,
        workflow_id=attempt.workflow_id,
        run_id=attempt.run_id,
        workflow_type=attempt.workflow_type,
        task_queue=base_of(attempt.queue),
        seq=attempt.seq,
        start_to_close_ms=attempt.start_to_close,
        heartbeat_timeout_ms=attempt.heartbeat,
        heartbeat_details=attempt.heartbeat_details,
    )
