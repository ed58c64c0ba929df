"""What the kernel asks while a function runs, answered at once: the time, values, settings.

A module of functions that needs no waiting (``env``, ``registry``, ``metrics``) asks here with
``S.service(name, ...)``; what has to wait is a command (``function_work.IO``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from luaflow import activity
from luaflow.activity import Context, current
from luaflow.domain import values
from luaflow.errors import LuaflowError
from luaflow_worker.recorded_values import make_value

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall


def _now(_call: FunctionCall) -> tuple[Any, ...]:
    return (time.time_ns(),)


def _version(_call: FunctionCall, _change: bytes, _least: int, most: int) -> tuple[Any, ...]:
    return most, False


def _lookup(_call: FunctionCall, _seq: int) -> tuple[Any, ...]:
    return False, None


def _marker(_call: FunctionCall, name: bytes) -> tuple[Any, ...]:
    return (make_value(name.decode()),)


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


_ACTIVITY: dict[bytes, Callable[[Context, bytes | None], Any]] = {
    b"info": _info,
    b"heartbeat": _heartbeat,
    b"heartbeat_details": lambda context, _: context.info.heartbeat_details,
    b"is_cancelled": _is_cancelled,
    b"defer": _defer,
}

SERVICES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "now": _now,
    "version": _version,
    "side_effect_lookup": _lookup,
    "marker": _marker,
    "activity": _activity,
}
"""Name of a question -> what answers it: given the call and the values, returns the answers."""
