"""Lua functions and processes: the same kernel as workflows, its commands carried out here and now.

A call of a ``function.lua`` or ``process.lua`` entry (as an activity, by ``luaflow call``, spawned
by another one) is a run in an engine of its entry. What a workflow would record, a function does:
``funcs.call`` calls the other function, ``time.sleep`` waits, ``process.spawn`` starts what it
names. Only the source of wake-ups differs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import orjson

from luaflow.activity import Context
from luaflow.domain.failure import Failure, canceled
from luaflow.domain.lanes import base_of
from luaflow.errors import LuaflowError, MissingLibrary
from luaflow.lua.vm import Activation, ActivationFault, Command, Engine, LoadError, Run
from luaflow.observe.logs import attempt_fields, run_fields
from luaflow.registry.app import App
from luaflow.registry.bundle import bundle_entry
from luaflow.registry.entries import CallableEntry, FunctionEntry, PythonEntry
from luaflow.replay.loading import source_of
from luaflow_worker.attempt import (
    Attempt,
    Beat,
    Limits,
    Outcome,
    check_size,
    context_of,
    failure_of_call,
    no_beat,
)
from luaflow_worker.function_services import SERVICES
from luaflow_worker.function_work import WORK, Work
from luaflow_worker.modules.state import ModuleState
from luaflow_worker.processes import Bonds, Processes
from luaflow_worker.python_activities import PythonActivities
from luaflow_worker.schema_checks import checked, refused_input

log = logging.getLogger("luaflow.lua")

State = dict[str, Any]
"""What the host of a call keeps with it, for modules of its own (an HTTP request, say)."""


class FunctionHost:
    """Runs the function and process entries of one app."""

    def __init__(
        self,
        app: App,
        python: PythonActivities,
        processes: Processes,
        *,
        cpu_seconds: float,
        limits: Limits,
    ) -> None:
        """``processes`` is where the calls are registered while they run."""
        self.app = app
        self.python = python
        self.processes = processes
        self.limits = limits
        self.modules = ModuleState(app)
        self._cpu_seconds = cpu_seconds
        self._engines: dict[str, Engine] = {}

    def begin(
        self,
        entry: FunctionEntry,
        attempt: Attempt,
        state: State | None = None,
        beat: Beat = no_beat,
    ) -> FunctionCall:
        """Begin a call; ``call.outcome`` is there at once when it never waited.

        ``beat`` takes the heartbeats of its attempt.
        """
        call = FunctionCall(self, entry, attempt, state=state, beat=beat)
        if refused := refused_input(entry, attempt):
            call.end(refused)
            return call
        try:
            call.prepare()
        except LoadError as error:
            call.end(Outcome(failure=Failure("Invalid", error.message, retryable=False)))
            return call
        call.start()
        return call

    def new(self, entry: FunctionEntry, attempt: Attempt, place: str) -> FunctionCall:
        """A process that has not begun; ``place`` is the host in its PID."""
        return FunctionCall(self, entry, attempt, place=place)

    def engine(self, entry: FunctionEntry) -> Engine:
        """The engine of an entry; LoadError for code that does not load."""
        engine = self._engines.get(entry.id)
        if engine is None or engine.broken:
            source = source_of(bundle_entry(self.app, entry.id))
            engine = Engine(source, kind="function", cpu_seconds=self._cpu_seconds)
            self._engines[entry.id] = engine
        return engine

    async def call(
        self, entry: CallableEntry, attempt: Attempt, state: State | None = None
    ) -> Outcome:
        """Call a function to its end, whatever its language."""
        if isinstance(entry, PythonEntry):
            return await self.python.run(entry, attempt, context_of(attempt))
        call = self.begin(entry, attempt, state)
        return call.outcome or await call.wait()


class FunctionCall:
    """One call of a Lua function, or a process: a run, and the tasks that do what it asks for.

    ``state`` belongs to whoever began it; calls it makes by ``funcs`` have none of it.
    """

    def __init__(
        self,
        host: FunctionHost,
        entry: FunctionEntry,
        attempt: Attempt,
        *,
        place: str = "",
        state: State | None = None,
        beat: Beat = no_beat,
    ) -> None:
        """Register it; ``prepare`` and ``start`` follow. ``place``: the host in its PID."""
        self.host = host
        self.entry = entry
        self.attempt = attempt
        self.state = {} if state is None else state
        self.outcome: Outcome | None = None
        self.run: Run | None = None
        self._beat = beat
        self._context: Context | None = None
        self.uniq = ""
        self.pid = host.processes.add(self, place or entry.id)
        self.own_bonds: Bonds | None = None
        self.nested: dict[int, Callable[[], None]] = {}
        """Calls it waits for, by command: what passes a cancellation on to them."""
        self._tasks: dict[int, asyncio.Task[Any] | asyncio.TimerHandle] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._exchange: Command | None = None
        self._later: list[tuple[Any, ...]] = []

    @property
    def context(self) -> Context:
        """What links its code to this worker, and says whether it is cancelled."""
        if self._context is None:
            self._context = context_of(self.attempt, self._beat)
        return self._context

    @property
    def bonds(self) -> Bonds:
        """What ties it to other processes; most calls have nothing of that."""
        if self.own_bonds is None:
            self.own_bonds = Bonds()
        return self.own_bonds

    def info(self) -> dict[str, Any]:
        """Return what the kernel is told of the call."""
        a = self.attempt
        return {
            "workflow_id": a.workflow_id,
            "run_id": f"{a.run_id}/{a.seq}/{a.number}/{os.getpid()}/{self.pid}",
            "workflow_type": a.workflow_type,
            "task_queue": base_of(a.queue),
            "attempt": a.number,
            "pid": self.pid,
            "entry_id": self.entry.id,
        }

    # -- from the beginning to the end -----------------------------------------------------------

    def prepare(self) -> None:
        """Load the code; from here on messages find it. Raises LoadError."""
        self.run = self.host.engine(self.entry).open(self.info())
        self.run.log = self.write_log

    def start(self) -> None:
        """Run the code until it waits, or ends."""
        self.feed(b"start", self.attempt.input, self.attempt.context)

    async def wait(self) -> Outcome:
        """Wait for the end; cancelling this ends the function where it stands."""
        try:
            return await self.ending()
        except asyncio.CancelledError:
            self.end(Outcome(failure=canceled()))
            if not self.context.cancelled:
                raise
        assert self.outcome is not None
        return self.outcome

    async def ending(self) -> Outcome:
        """Wait for the end, whoever else does; cancelling this ends nothing."""
        if self.outcome is None:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(ended)
            await ended
        assert self.outcome is not None
        return self.outcome

    def cancel(self) -> None:
        """Cancel the call and what it waits for.

        Code that looks at ``process.events()`` is told and ends itself, so does code that asks
        ``activity.is_cancelled()``; other code ends where it stands.
        """
        self.context.cancelled = True
        self.feed(b"cancel_call", b"", b"", self.context.looks)
        for stop in list(self.nested.values()):
            stop()

    def end(self, outcome: Outcome) -> None:
        """End it, unless it has ended: what it does is given up, who watches it is told."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self._drop_tasks()
        if self.run is not None:
            self.run.close()
        self.host.processes.ended(self, outcome)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def _drop_tasks(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self.nested.clear()

    # -- feeding ---------------------------------------------------------------------------------

    def soon(self, op: bytes, *args: Any) -> None:
        """Feed in the next turn of the loop: code that runs now is not run a second time inside."""
        asyncio.get_running_loop().call_soon(self.feed, op, *args)

    def feed(self, op: bytes, *args: Any) -> None:
        """Feed one wake-up and carry out what the code then asks for."""
        if self.outcome is not None:
            return
        if self._exchange is not None:
            self._later.append((op, *args))
            return
        try:
            out = self._step(op, *args)
            while out.status == "service":
                self._carry_out(out)
                assert out.service is not None
                out = self._step(b"reply", *self._serve(*out.service))
        except ActivationFault as fault:
            kind = "Timeout" if fault.reason == "cpu" else "Internal"
            self.end(Outcome(failure=Failure(kind, fault.message, retryable=False)))
            return
        except MissingLibrary as error:
            self.end(Outcome(failure=Failure("Unavailable", error.message, retryable=False)))
            return
        except Exception as error:  # a service's own mistake: whoever waits must hear of an end
            log.exception("a question of %s failed in a way nobody foresaw", self.entry.id)
            self.end(Outcome(failure=failure_of_call(error)))
            return
        self._carry_out(out)
        if out.status == "done":
            self.end(self._done(out.result or b"null"))
        elif out.status == "failed":
            self.end(Outcome(failure=Failure.from_json(orjson.loads(out.failure or b"{}"))))
        elif out.status == "continued":
            self._exchange = out.commands[-1]
            asyncio.get_running_loop().call_soon(self._go_on)

    def _done(self, result: bytes) -> Outcome:
        if self._context is not None and self._context.deferred:
            return Outcome(deferred=True)
        return checked(self.entry, check_size(self.attempt, result, self.host.limits))

    def _step(self, op: bytes, *args: Any) -> Activation:
        assert self.run is not None
        return self.run.step(op, time.time_ns() // 1_000_000, 0, 0, *args)

    def _go_on(self) -> None:
        """Exchange the code: the process stays who it is, and keeps what nobody has taken."""
        command, self._exchange = self._exchange, None
        if command is None or self.outcome is not None:
            return
        self._drop_tasks()
        assert self.run is not None
        self.run.close()
        name = (command.name or b"").decode(errors="replace")
        found = self.host.app.functions.get(name)
        if isinstance(found, FunctionEntry):
            self.entry = found
        try:
            self.prepare()
        except LoadError as error:
            self.end(Outcome(failure=Failure("Invalid", error.message, retryable=False)))
            return
        self.feed(b"inherit", command.extra)
        self.feed(b"start", command.data or b"[]", self.attempt.context)
        later, self._later = self._later, []
        for fed in later:
            self.feed(*fed)

    def _serve(self, name: str, *args: Any) -> tuple[Any, ...]:
        answer = SERVICES.get(name)
        if answer is None:
            raise LuaflowError(f"functions cannot ask for {name!r}")
        return answer(self, *args)

    def write_log(self, level: str, message: bytes, fields: bytes) -> None:
        """Pass a line of print or logger on to the log of this process."""
        a = self.attempt
        if not a.called:
            extra = attempt_fields(self.context.info)
        else:  # for a workflow, or for itself
            extra = run_fields(a, workflow_type=a.workflow_type) if a.workflow_id else {}
        extra |= {"entry": self.entry.id, "pid": self.pid}
        extra["fields"] = fields.decode(errors="replace")
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
                self._give_up(int(command.name or b"0"), answer=command.op == "cancel_activity")
            else:
                work = WORK.get(command.op)
                if work:
                    self._spawn(command, work)

    def _give_up(self, seq: int, *, answer: bool) -> None:
        task = self._tasks.pop(seq, None)
        if task:
            task.cancel()
            if answer:  # who still waits for the call (wait_for_cancellation) hears of its end
                self.nested.pop(seq, None)
                self.soon(b"resolve", seq, False, canceled().to_json())

    def _timer(self, command: Command) -> None:
        seconds = max(0, int(command.data or b"0")) / 1e9
        loop = asyncio.get_running_loop()
        self._tasks[command.seq] = loop.call_later(seconds, self.resolve, command.seq, True, None)

    def _spawn(self, command: Command, work: Work) -> None:
        task = asyncio.create_task(self._guard(command, work), name="luaflow-function")
        self._tasks[command.seq] = task

    async def _guard(self, command: Command, work: Work) -> None:
        try:
            await work(self, command)
        except (LuaflowError, ValueError) as error:
            self.resolve(command.seq, False, failure_of_call(error).to_json())
        except (
            Exception
        ) as error:  # a module's own mistake must not leave the code waiting for ever
            log.exception("%s of %s failed in the machinery", command.op, self.entry.id)
            self.resolve(command.seq, False, failure_of_call(error).to_json())

    def forget(self, seq: int) -> None:
        """Let go of the work of a command: it goes on, and nobody waits for it."""
        self._tasks.pop(seq, None)

    def keep(self, number: int, task: asyncio.Task[Any]) -> None:
        """Let a task live no longer than the call; ``number`` is that of what it holds open."""
        self._tasks[-number] = task

    def drop(self, number: int) -> None:
        """End a task that was kept."""
        task = self._tasks.pop(-number, None)
        if task:
            task.cancel()

    def resolve(self, seq: int, ok: bool, value: Any) -> None:
        """Feed the outcome of a command: its value, or the JSON of a failure."""
        self.forget(seq)
        self.nested.pop(seq, None)
        self.feed(b"resolve", seq, ok, value)
