"""The modules that only functions may use: they look at the world, so workflows may not.

``SERVICES`` are questions answered at once, ``IO`` is work that the code waits for; see
``function_services`` and ``function_work``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from luaflow.lua.services import hashes
from luaflow_worker.modules import activities, app_metrics, entries, env, events, http_client

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall


async def _pbkdf2(_call: FunctionCall, args: list[Any]) -> bytes:
    """Derive a key on a thread: it may take seconds."""
    algorithm, password, salt, iterations, length = args
    return await asyncio.to_thread(
        hashes.derive, algorithm.encode(), _raw(password), _raw(salt), iterations, length
    )


def _raw(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


SERVICES: Final[dict[str, Callable[..., tuple[Any, ...]]]] = {
    **activities.SERVICES,
    **env.SERVICES,
    **entries.SERVICES,
    **events.SERVICES,
    **app_metrics.SERVICES,
}
IO: Final[dict[str, Callable[[FunctionCall, list[Any]], Awaitable[Any]]]] = {
    "pbkdf2": _pbkdf2,
    **activities.IO,
    **events.IO,
    **http_client.IO,
}
