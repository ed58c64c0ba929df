"""What a function asks for and waits for: calls, workflows, messages, and the work of modules.

``WORK`` has one coroutine for each operation of a command, ``IO`` one for each module function
that has to wait for the world (``http_client`` and its like). Each ends by resolving its command.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from luaflow.domain import values
from luaflow.errors import LuaflowError, WorkflowFailed
from luaflow.lua.vm import Command
from luaflow_worker import http_calls, modules
from luaflow_worker.function_calls import call_function
from luaflow_worker.process_work import PROCESS_WORK

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

log = logging.getLogger(__name__)

IO: dict[str, Callable[[FunctionCall, list[Any]], Awaitable[Any]]] = {
    **http_calls.IO,
    **modules.IO,
}
"""Name of a module function -> what answers it: given the arguments, returns the value."""


async def _io(call: FunctionCall, command: Command) -> None:
    """Do the work of a module function that waits for the world."""
    name = _text(command.name)
    try:
        answer = await IO[name](call, values.loads(command.data or b"[]"))
    except (LuaflowError, ValueError):
        raise
    except Exception as error:  # whatever it is, the code must not wait for ever
        log.exception("%s failed in a way nobody foresaw", name)
        text = f"{name}: {type(error).__name__}: {error}"
        raise WorkflowFailed(text, kind="Internal", retryable=True) from error
    call.resolve(command.seq, True, values.dumps(answer))


Work = Callable[["FunctionCall", Command], Coroutine[Any, Any, None]]

WORK: dict[str, Work] = {
    "activity": call_function,
    "local_activity": call_function,
    "io": _io,
    **PROCESS_WORK,
}
"""Operation of a command -> what carries it out."""


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")
