"""How a process of luaflow runs: its event loop, and how often garbage is looked for.

The loop is uvloop's where it is installed (``luaflow[fast]``), or Python's.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SELDOM = 5_000
"""By so many containers there must be more than at the last look."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program to its end, as ``asyncio.run``."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(main)


def settle() -> None:
    """The process serves from now on: what it is made of stays, and is not looked through again.

    Our own code leaves no cycles behind as it works, so Python's collector is for what activities
    leave. Run seldom, and not over the fifty thousand containers of the program itself, it takes no
    time that can be measured; as Python has it, it stopped a worker for 57 ms (docs/cost-model.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(SELDOM, *gc.get_threshold()[1:])


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make
