"""``funcs.call`` of a function: another function of the app, with its time limit and retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from luaflow.domain import values
from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Failure, Invalid
from luaflow.errors import NotFound
from luaflow.lua.vm import Command
from luaflow.registry.entries import CallableEntry, PythonEntry
from luaflow_worker.attempt import Attempt, Outcome, context_of

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall


@dataclass(frozen=True, slots=True)
class CallRetry:
    """How often a failed call is made again (``meta.options.retry``); one attempt without it."""

    max_attempts: int = 1
    initial_ms: int = 100
    max_ms: int = 10_000
    factor: float = 2.0
    jitter: float = 0.1
    retry_kinds: tuple[str, ...] = ()
    skip_kinds: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: Any) -> CallRetry:
        """Read the table; Invalid "retry.<key> must be ..." for a wrong value."""
        if options is None:
            return cls()
        if not isinstance(options, Mapping):
            raise Invalid("retry must be a table")
        return cls(
            int(_number(options, "max_attempts", 1)),
            duration_ms(options.get("initial_delay", 100), "retry.initial_delay"),
            duration_ms(options.get("max_delay", 10_000), "retry.max_delay"),
            _number(options, "backoff_factor", 2.0),
            _number(options, "jitter", 0.1),
            _kinds(options, "retry_kinds"),
            _kinds(options, "skip_kinds"),
        )

    def pause(self, attempt: int, failure: Failure) -> float | None:
        """Seconds until the next attempt after this one (from 1) failed; None: there is none."""
        if attempt >= self.max_attempts or failure.retryable is False:
            return None
        if failure.kind == "Canceled" or failure.kind in self.skip_kinds:
            return None
        if self.retry_kinds and failure.kind not in self.retry_kinds:
            return None
        # (a large power is no float any more)
        ms = min(self.initial_ms * self.factor ** min(attempt - 1, 64), self.max_ms)
        return ms * (1 + self.jitter * random.uniform(-1, 1)) / 1000


def _number(options: Mapping[str, Any], key: str, default: float) -> float:
    value = options.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise Invalid(f"retry.{key} must be a number from 0, got {value!r}")
    return float(value)


def _kinds(options: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = options.get(key) or []
    if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value):
        raise Invalid(f"retry.{key} must be a list of error kinds, got {value!r}")
    return tuple(value)


async def call_function(call: FunctionCall, command: Command) -> None:
    """Carry out ``funcs.call``: the callee has the caller's context, and its cancellation.

    With a queue in its options it goes through that, as a plain job.
    """
    name = (command.name or b"").decode(errors="replace")
    entry = call.host.app.functions.get(name)
    extra = orjson.loads(command.extra or b"{}")
    context = extra.pop("context", None) or {}
    options = {**(entry.options if entry else {}), **extra}
    if any(extra.get(f"{prefix}activity.task_queue") for prefix in ("", "temporal.")):
        args, inherited = values.loads(command.data or b"[]"), {**call.attempt.context, **context}
        result = await call.host.processes.world.run_job(name, args, options, inherited)
        call.resolve(command.seq, True, values.dumps(result))
        return
    if entry is None:
        raise NotFound(f"there is no function {name!r} in this app")
    retry = CallRetry.from_options(options.get("retry"))
    limit = options.get("timeout")
    ms = 0 if limit is None else duration_ms(limit, "timeout")
    try:
        async with asyncio.timeout(ms / 1000 if ms else None):
            outcome = await _attempts(call, command, entry, context, retry)
    except TimeoutError:
        late = f"{name} did not return within {ms / 1000:g} s"
        outcome = Outcome(failure=Failure("Timeout", late, retryable=False))
    if outcome.failure:
        call.resolve(command.seq, False, outcome.failure.to_json())
    else:
        call.resolve(command.seq, True, outcome.result)


async def _attempts(
    call: FunctionCall,
    command: Command,
    entry: CallableEntry,
    context: Mapping[str, Any],
    retry: CallRetry,
) -> Outcome:
    number = 0
    while True:
        number += 1
        attempt = attempt_of(call.attempt, entry.id, command.data or b"[]", context, number)
        outcome = await _attempt(call, command.seq, entry, attempt)
        pause = retry.pause(number, outcome.failure) if outcome.failure else None
        if pause is None or call.context.cancelled:
            return outcome
        await asyncio.sleep(pause)


async def _attempt(call: FunctionCall, seq: int, entry: CallableEntry, attempt: Attempt) -> Outcome:
    if not isinstance(entry, PythonEntry):
        inner = call.host.begin(entry, attempt)
        if inner.outcome:
            return inner.outcome
        call.nested[seq] = inner.cancel
        return await inner.wait()
    context = context_of(attempt)
    task = asyncio.create_task(call.host.python.run(entry, attempt, context))

    def stop() -> None:
        context.cancelled = True
        task.cancel()

    call.nested[seq] = stop
    try:
        return await task
    finally:
        task.cancel()


def attempt_of(
    mine: Attempt, name: str, data: bytes, context: Mapping[str, Any], number: int = 1
) -> Attempt:
    """What a function or process begins with that another one starts: its caller's context."""
    return Attempt(
        partition=mine.partition,
        workflow_id=mine.workflow_id,
        run_id=mine.run_id,
        seq=mine.seq,
        activity=name,
        input=data,
        token="",
        queue=mine.queue,
        workflow_type=mine.workflow_type,
        number=number,
        context={**mine.context, **context},
        job=mine.job,
        headers=mine.headers,
        called=True,
    )
