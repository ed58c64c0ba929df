"""What a function asks for and waits for: calls, workflows, messages, and the work of modules.

``WORK`` has one coroutine for each operation of a command, ``IO`` one for each module function
that has to wait for the world (``http_client`` and its like). Each ends by resolving its command.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import orjson

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.errors import (
    AlreadyExists,
    HandlerFailed,
    InvalidArgument,
    LuaflowError,
    NoAnswer,
    NotFound,
    Refused,
    WorkflowFailed,
)
from luaflow.lua.vm import Command
from luaflow_worker.attempt import Attempt, failure_of

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

IO: dict[str, Callable[[FunctionCall, list[Any]], Awaitable[Any]]] = {}
"""Name of a module function -> what answers it: given the arguments, returns the value."""


async def _activity(call: FunctionCall, command: Command) -> None:
    """Call another function of this app."""
    name = _text(command.name)
    entry = call.host.app.functions.get(name)
    if entry is None:
        raise NotFound(f"there is no function {name!r} in this app")
    extra = orjson.loads(command.extra or b"{}")
    mine = call.attempt
    attempt = Attempt(
        partition=mine.partition,
        workflow_id=mine.workflow_id,
        run_id=mine.run_id,
        seq=mine.seq,
        activity=name,
        input=command.data or b"[]",
        token="",
        queue=mine.queue,
        workflow_type=mine.workflow_type,
        context={**mine.context, **(extra.get("context") or {})},
    )
    outcome = await call.host.call(entry, attempt)
    if outcome.failure:
        call.resolve(command.seq, False, outcome.failure.to_json())
    else:
        call.resolve(command.seq, True, outcome.result)


async def _child(call: FunctionCall, command: Command) -> None:
    """Start a workflow; wait for its end if the code does."""
    extra = orjson.loads(command.extra or b"{}")
    extra["context"] = {**call.attempt.context, **(extra.get("context") or {})}
    try:
        pid, handle = await call.host.world.spawn(command, extra, call.pid)
    except (LuaflowError, ValueError) as error:
        call.feed(b"child_started", command.seq, None, failure_of_call(error).to_json())
        return
    call.feed(b"child_started", command.seq, pid, None)
    if not extra.get("wait") and not extra.get("watch"):
        call.forget(command.seq)
        return
    try:
        ok, value = True, values.encode(await handle.result())
    except WorkflowFailed as error:
        ok, value = False, failure_of_call(error).to_json()
    if extra.get("wait"):
        call.resolve(command.seq, ok, value)
    else:
        call.feed(b"exit", pid, ok, value)


async def _signal(call: FunctionCall, command: Command) -> None:
    """Send a message to a workflow."""
    to, topic = _text(command.name), orjson.loads(command.extra or b"{}").get("topic", "")
    await call.host.world.send(to, topic, values.loads(command.data or b"[]"), call.pid)
    call.resolve(command.seq, True, True)


async def _update(call: FunctionCall, command: Command) -> None:
    """Send an update to a workflow, or ask it a query; the code waits for the answer."""
    to, name = _text(command.name), orjson.loads(command.extra or b"{}")["name"]
    args = values.loads(command.data or b"[]")
    if command.op == "query":
        answer = await call.host.world.query(to, name, args)
    else:
        answer = await call.host.world.update(to, name, args, call.pid)
    call.resolve(command.seq, True, values.dumps(answer))


async def _cancel(call: FunctionCall, command: Command) -> None:
    """Ask a workflow to cancel."""
    reason = orjson.loads(command.extra or b"{}").get("reason")
    await call.host.world.cancel(_text(command.name), reason)
    call.resolve(command.seq, True, True)


async def _terminate(call: FunctionCall, command: Command) -> None:
    """End a workflow at once."""
    await call.host.world.terminate(_text(command.name))
    call.resolve(command.seq, True, True)


async def _refuse(_call: FunctionCall, command: Command) -> None:
    """Say that this is not there yet."""
    raise InvalidArgument(f"process.{command.op} is not available yet")


async def _io(call: FunctionCall, command: Command) -> None:
    """Do the work of a module function that waits for the world."""
    name = _text(command.name)
    answer = await IO[name](call, values.loads(command.data or b"[]"))
    call.resolve(command.seq, True, values.dumps(answer))


WORK: dict[str, Callable[[FunctionCall, Command], Coroutine[Any, Any, None]]] = {
    "activity": _activity,
    "local_activity": _activity,
    "child": _child,
    "signal": _signal,
    "update": _update,
    "query": _update,
    "cancel": _cancel,
    "terminate": _terminate,
    "io": _io,
    "monitor": _refuse,
    "unmonitor": _refuse,
    "link": _refuse,
    "unlink": _refuse,
}
"""Operation of a command -> what carries it out."""


def failure_of_call(error: Exception) -> Failure:
    """What the code of a function sees of an error."""
    if isinstance(error, (WorkflowFailed, HandlerFailed)):
        return Failure(error.kind, error.message, retryable=error.retryable, details=error.details)
    for kind, name in (
        (NotFound, "NotFound"),
        (AlreadyExists, "AlreadyExists"),
        (Refused, "Conflict"),
        (NoAnswer, "Timeout"),
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
