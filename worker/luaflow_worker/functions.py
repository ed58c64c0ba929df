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
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import orjson

from luaflow.activity import Context, Info
from luaflow.domain import values
from luaflow.domain.failure import Failure, canceled
from luaflow.errors import (
    AlreadyExists,
    InvalidArgument,
    LuaflowError,
    NotFound,
    Refused,
    WorkflowFailed,
)
from luaflow.lua.vm import Activation, ActivationFault, Command, Engine, LoadError, Run
from luaflow.registry.app import App
from luaflow.registry.bundle import bundle_entry
from luaflow.registry.entries import CallableEntry, FunctionEntry, PythonEntry
from luaflow.replay.loading import source_of
from luaflow_worker.attempt import Attempt, Limits, Outcome, check_size, failure_of
from luaflow_worker.python_activities import PythonActivities
from luaflow_worker.recorded_values import make_value

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
        self._pid = f"{{{host.node}@{entry.id}|{uuid.uuid4().hex}}}"
        self._tasks: dict[int, asyncio.Task[Any] | asyncio.TimerHandle] = {}
        self._ended: asyncio.Future[None] | None = None

    def info(self) -> dict[str, Any]:
        """Return what the kernel is told of the call."""
        a = self.attempt
        return {
            "workflow_id": a.workflow_id,
            "run_id": f"{a.run_id}/{a.seq}/{a.number}/{os.getpid()}/{id(self)}",
            "workflow_type": a.workflow_type,
            "task_queue": a.queue,
            "attempt": a.number,
            "pid": self._pid,
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
        if name == "now":
            return (time.time_ns(),)
        if name == "version":
            return args[2], False
        if name == "side_effect_lookup":
            return False, None
        if name == "marker":
            return (make_value(bytes(args[0]).decode()),)
        raise LuaflowError(f"functions cannot ask for {name!r}")

    def write_log(self, level: str, message: bytes, fields: bytes) -> None:
        """Pass a line of print or logger on to the log of this process."""
        extra = {
            "entry": self.entry.id,
            "pid": self._pid,
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
                work = _WORK.get(command.op)
                if work:
                    self._spawn(command.seq, work(self, command))

    def _timer(self, command: Command) -> None:
        seconds = max(0, int(command.data or b"0")) / 1e9
        loop = asyncio.get_running_loop()
        self._tasks[command.seq] = loop.call_later(seconds, self._resolve, command.seq, True, None)

    def _spawn(self, seq: int, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[seq] = asyncio.create_task(self._guard(seq, work), name="luaflow-function")

    async def _guard(self, seq: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (LuaflowError, ValueError) as error:
            self._resolve(seq, False, _failure(error).to_json())

    def _resolve(self, seq: int, ok: bool, value: Any) -> None:
        self._tasks.pop(seq, None)
        self.feed(b"resolve", seq, ok, value)

    async def do_activity(self, command: Command) -> None:
        """Call another function of this app."""
        name = (command.name or b"").decode(errors="replace")
        entry = self.host.app.functions.get(name)
        if entry is None:
            raise NotFound(f"there is no function {name!r} in this app")
        extra = orjson.loads(command.extra or b"{}")
        attempt = Attempt(
            partition=self.attempt.partition,
            workflow_id=self.attempt.workflow_id,
            run_id=self.attempt.run_id,
            seq=self.attempt.seq,
            activity=name,
            input=command.data or b"[]",
            token="",
            queue=self.attempt.queue,
            workflow_type=self.attempt.workflow_type,
            context={**self.attempt.context, **(extra.get("context") or {})},
        )
        outcome = await self.host.call(entry, attempt)
        if outcome.failure:
            self._resolve(command.seq, False, outcome.failure.to_json())
        else:
            self._resolve(command.seq, True, outcome.result)

    async def do_child(self, command: Command) -> None:
        """Start a workflow; wait for its end if the code does."""
        extra = orjson.loads(command.extra or b"{}")
        extra["context"] = {**self.attempt.context, **(extra.get("context") or {})}
        try:
            pid, handle = await self.host.world.spawn(command, extra, self._pid)
        except (LuaflowError, ValueError) as error:
            self.feed(b"child_started", command.seq, None, _failure(error).to_json())
            return
        self.feed(b"child_started", command.seq, pid, None)
        if not extra.get("wait") and not extra.get("watch"):
            self._tasks.pop(command.seq, None)
            return
        try:
            ok, value = True, values.encode(await handle.result())
        except WorkflowFailed as error:
            ok, value = False, _failure(error).to_json()
        if extra.get("wait"):
            self._resolve(command.seq, ok, value)
        else:
            self.feed(b"exit", pid, ok, value)

    async def do_signal(self, command: Command) -> None:
        """Send a message to a workflow."""
        to, topic = _text(command.name), orjson.loads(command.extra or b"{}").get("topic", "")
        await self.host.world.send(to, topic, values.loads(command.data or b"[]"), self._pid)
        self._resolve(command.seq, True, True)

    async def do_cancel(self, command: Command) -> None:
        """Ask a workflow to cancel."""
        reason = orjson.loads(command.extra or b"{}").get("reason")
        await self.host.world.cancel(_text(command.name), reason)
        self._resolve(command.seq, True, True)

    async def do_terminate(self, command: Command) -> None:
        """End a workflow at once."""
        await self.host.world.terminate(_text(command.name))
        self._resolve(command.seq, True, True)

    async def do_refuse(self, command: Command) -> None:
        """Say that this is not there yet."""
        raise InvalidArgument(f"process.{command.op} is not available yet")


_WORK: dict[str, Callable[[FunctionCall, Command], Coroutine[Any, Any, None]]] = {
    "activity": FunctionCall.do_activity,
    "local_activity": FunctionCall.do_activity,
    "child": FunctionCall.do_child,
    "signal": FunctionCall.do_signal,
    "cancel": FunctionCall.do_cancel,
    "terminate": FunctionCall.do_terminate,
    "monitor": FunctionCall.do_refuse,
    "unmonitor": FunctionCall.do_refuse,
    "link": FunctionCall.do_refuse,
    "unlink": FunctionCall.do_refuse,
}


def info_of(attempt: Attempt) -> Info:
    """What the code of an activity may know of its attempt."""
    return Info(
        activity=attempt.activity,
        attempt=attempt.number,
        workflow_id=attempt.workflow_id,
        run_id=attempt.run_id,
        workflow_type=attempt.workflow_type,
        task_queue=attempt.queue,
        seq=attempt.seq,
        start_to_close_ms=attempt.start_to_close,
        heartbeat_timeout_ms=attempt.heartbeat,
        heartbeat_details=attempt.heartbeat_details,
    )


def _failure(error: Exception) -> Failure:
    if isinstance(error, WorkflowFailed):
        return Failure(error.kind, error.message, retryable=error.retryable, details=error.details)
    for kind, name in (
        (NotFound, "NotFound"),
        (AlreadyExists, "AlreadyExists"),
        (Refused, "Conflict"),
    ):
        if isinstance(error, kind):
            return Failure(name, str(error), retryable=False)
    if isinstance(error, (InvalidArgument, ValueError)):
        return Failure("Invalid", str(error), retryable=False)
    if isinstance(error, LuaflowError):
        return Failure("Unavailable", error.message, retryable=True)
    return failure_of(error)


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")
