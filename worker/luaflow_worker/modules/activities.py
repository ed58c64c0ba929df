"""What answers the ``activity`` module: of the attempt at hand, and of those deferred elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from luaflow import activity
from luaflow.activity import Context, current
from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.errors import LuaflowError

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall


def _activity(call: FunctionCall, verb: bytes, text: bytes | None = None) -> tuple[Any, ...]:
    """Answer the ``activity`` module: JSON, or None and why not."""
    if call.attempt.called:
        return None, "the activity module is only available while an activity runs"
    try:
        return values.dumps(_ACTIVITY[verb](call.context, text)), None
    except LuaflowError as error:
        return None, error.message


def _heartbeat(context: Context, text: bytes | None) -> bool:
    context.beat(values.loads(text) if text else None)
    return True


def _is_cancelled(context: Context, _: bytes | None) -> bool:
    context.looks = True
    return context.cancelled


def _info(context: Context, _: bytes | None) -> dict[str, Any]:
    return {**asdict(context.info), "idempotency_key": context.info.idempotency_key}


def _defer(context: Context, _: bytes | None) -> str:
    token = current.set(context)
    try:
        return activity.defer()
    finally:
        current.reset(token)


_ACTIVITY: Final[dict[bytes, Callable[[Context, bytes | None], Any]]] = {
    b"info": _info,
    b"heartbeat": _heartbeat,
    b"heartbeat_details": lambda context, _: context.info.heartbeat_details,
    b"is_cancelled": _is_cancelled,
    b"defer": _defer,
}


async def _complete(call: FunctionCall, args: list[Any]) -> bool:
    """End a deferred activity with a result."""
    world = call.host.processes.world
    await world.complete_activity(args[0], args[1] if len(args) > 1 else None)
    return True


async def _fail(call: FunctionCall, args: list[Any]) -> bool:
    """Fail a deferred activity: with an error object, or a text that is not tried again."""
    error = args[1] if len(args) > 1 else None
    if not isinstance(error, Failure):
        error = Failure("Internal", str(error or "failed"), retryable=False)
    await call.host.processes.world.fail_activity(args[0], error)
    return True


SERVICES: Final[dict[str, Callable[..., tuple[Any, ...]]]] = {"activity": _activity}
IO: Final[dict[str, Callable[[FunctionCall, list[Any]], Awaitable[Any]]]] = {
    "activity.complete": _complete,
    "activity.fail": _fail,
}
