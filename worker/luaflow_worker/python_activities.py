"""Activities written in Python: ``package.module:callable``, imported from the app folder."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from luaflow.activity import Context, current
from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.registry.entries import PythonEntry
from luaflow_worker.attempt import Attempt, Limits, Outcome, failure_of, outcome_of
from luaflow_worker.schema_checks import checked, refused_input


class PythonActivities:
    """Calls handlers: ``async def`` on the loop, plain functions in a pool of threads."""

    def __init__(self, root: Path, *, threads: int, limits: Limits) -> None:
        """``root`` is the app folder; handlers are imported with it in front of the path."""
        self._root = str(root.resolve())
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="luaflow-activity")
        self._limits = limits

    def handler(self, entry: PythonEntry) -> Callable[..., Any]:
        """Return the callable; ImportError, AttributeError or TypeError name what is wrong."""
        found = self._handlers.get(entry.handler)
        if found is None:
            if self._root not in sys.path:
                sys.path.insert(0, self._root)
            module, _, name = entry.handler.partition(":")
            home: Any = importlib.import_module(module)
            found = functools.reduce(getattr, name.split("."), home)
            if not callable(found):
                raise TypeError(f"{entry.handler} is not callable")
            self._handlers[entry.handler] = found
        return found

    async def run(self, entry: PythonEntry, attempt: Attempt, context: Context) -> Outcome:
        """Run one attempt to its end; every exception of the handler becomes a failure."""
        if refused := refused_input(entry, attempt):
            return refused
        try:
            handler = self.handler(entry)
        except (ImportError, AttributeError, TypeError) as error:
            text = f"the handler {entry.handler} of {entry.id} cannot be loaded: {error}"
            return Outcome(failure=Failure("NotFound", text, retryable=True))
        try:
            value = await self._call(handler, values.loads(attempt.input), context)
        except asyncio.CancelledError:
            if not context.cancelled:
                raise
            return Outcome(failure=failure_of(asyncio.CancelledError()))
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises is its failure
            return Outcome(failure=failure_of(error))
        if context.deferred:
            return Outcome(deferred=True)
        return checked(entry, outcome_of(attempt, value, self._limits))

    async def _call(self, handler: Callable[..., Any], args: list[Any], context: Context) -> Any:
        token = current.set(context)
        try:
            if inspect.iscoroutinefunction(handler):
                value: Awaitable[Any] | Any = await handler(*args)
                return value
            here = contextvars.copy_context()
            call = functools.partial(here.run, handler, *args)
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            current.reset(token)

    def close(self) -> None:
        """End the idle threads; one that still runs a handler ends with it."""
        self._pool.shutdown(wait=False, cancel_futures=True)
