"""What the kernel asks while a function runs, answered at once: the time, values, settings.

A module of functions that needs no waiting (``env``, ``registry``, ``metrics``) asks here with
``S.service(name, ...)``; what has to wait is a command (``function_work.IO``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from luaflow.registry.entries import FunctionEntry
from luaflow_worker import http_calls, modules
from luaflow_worker.recorded_values import make_value

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall


def _now(_call: FunctionCall) -> tuple[Any, ...]:
    return (time.time_ns(),)


def _version(_call: FunctionCall, _change: bytes, _least: int, most: int) -> tuple[Any, ...]:
    return most, False


def _lookup(_call: FunctionCall, _seq: int) -> tuple[Any, ...]:
    return False, None


def _marker(_call: FunctionCall, name: bytes, *args: Any) -> tuple[Any, ...]:
    return (make_value(name.decode(), *args),)


def _upgrade(call: FunctionCall, entry: bytes) -> tuple[Any, ...]:
    """None, or why a process cannot go on with the code of an entry ('': its own)."""
    name = entry.decode(errors="replace")
    if not name or isinstance(call.host.app.functions.get(name), FunctionEntry):
        return (None,)
    return (f"there is no function or process {name!r} in this app to go on with",)


SERVICES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "now": _now,
    "version": _version,
    "side_effect_lookup": _lookup,
    "marker": _marker,
    "upgrade": _upgrade,
    **modules.SERVICES,
    **http_calls.SERVICES,
}
"""Name of a question -> what answers it: given the call and the values, returns the answers."""
