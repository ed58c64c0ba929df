"""Test entries of an app: which there are, and how one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from luaflow.domain.durations import parse_go
from luaflow.domain.failure import Invalid
from luaflow.errors import LuaflowError, WorkflowFailed
from luaflow.registry.entries import CallableEntry, Entry, LuaEntry, WorkflowEntry
from luaflow.registry.modules import KNOWN, PROVIDED
from luaflow_cli.loglines import log_lines

if TYPE_CHECKING:
    from luaflow.registry import App
    from luaflow_cli.local import Running

_RUN = (WorkflowEntry, CallableEntry)
_NO_MODULE = re.compile(r"module '([^']+)' not found")


@dataclass(frozen=True, slots=True)
class Test:
    """An entry with ``meta.type: test``; ``problem`` is why it cannot be run.

    ``seconds`` are its own ``meta.timeout``: seconds, or a duration such as 90s.
    """

    entry: Entry
    suite: str
    order: float
    seconds: float | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a test failed, and where: at a line of its code, or of its entry."""

    message: str
    file: str
    line: int
    kind: str = "Internal"


@dataclass(frozen=True, slots=True)
class Result:
    """How a test ended; ``log`` are the lines that print and logger wrote meanwhile."""

    test: Test
    seconds: float
    problem: Problem | None = None
    log: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The object of ``-o json``."""
        problem = self.problem
        return {
            "id": self.test.entry.id,
            "suite": self.test.suite,
            "status": "failed" if problem else "passed",
            "ms": round(self.seconds * 1000),
            "error": problem
            and {
                "kind": problem.kind,
                "message": problem.message,
                "file": problem.file,
                "line": problem.line,
            },
            "log": self.log,
        }


def find_tests(app: App, *, suites: Sequence[str], words: Sequence[str]) -> list[Test]:
    """The tests of an app by suite, ``meta.order`` and id; all without ``suites`` and ``words``.

    A test belongs to one of the suites, and its id holds one of the words.
    """
    everything = [*app.entries.values(), *(broken.entry for broken in app.broken.values())]
    tests = [_test(app, entry) for entry in everything if entry.meta.get("type") == "test"]
    chosen = [
        test
        for test in tests
        if (not suites or test.suite in suites)
        and (not words or any(word in test.entry.id for word in words))
    ]
    return sorted(chosen, key=lambda test: (test.suite, test.order, test.entry.id))


def _test(app: App, entry: Entry) -> Test:
    suite, order = entry.meta.get("suite"), entry.meta.get("order")
    problem = None
    if found := app.faults(entry.id):
        error = found[0]
        message = f"{error.what} \u2013 {error.remedy}"
        problem = Problem(message, error.file, error.line, "Invalid")
    elif not isinstance(entry, _RUN):
        message = f"an entry of kind {entry.kind} cannot be run"
        problem = Problem(message, entry.file, entry.line("kind"), "Invalid")
    seconds = None
    try:
        seconds = _seconds(entry.meta.get("timeout"))
    except Invalid as error:
        line = entry.line("meta", "timeout")
        problem = problem or Problem(f"meta.timeout: {error}", entry.file, line, "Invalid")
    return Test(
        entry,
        "" if suite is None else str(suite),
        float(order) if isinstance(order, (int, float)) else 0.0,
        seconds,
        problem,
    )


def _seconds(value: Any) -> float | None:
    """A limit as written: None, a number of seconds, or a duration."""
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    seconds = float(value) if number else parse_go(str(value)) / 1e9
    if not seconds > 0:
        raise Invalid(f"{value} is no time to run in: write a positive number of seconds")
    return seconds


async def run_test(running: Running, test: Test, seconds: float) -> Result:
    """Run one test; it passes when it raises nothing, returns no error and not false.

    ``seconds`` is what it may take when it has no limit of its own.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    lines: list[str] = []
    with log_lines(lines.append):
        problem = test.problem or await _problem(running, test.entry, test.seconds or seconds)
    return Result(test, loop.time() - begun, problem, lines)


async def _problem(running: Running, entry: Entry, seconds: float) -> Problem | None:
    app, clock = running.app, asyncio.timeout(seconds)
    try:
        async with clock:
            value = await _call(running, entry)
    except TimeoutError as error:
        text = f"it did not end within {seconds:g} s \u2013 give it more with --timeout"
        return _located(app, entry, text if clock.expired() else str(error), "Timeout")
    except WorkflowFailed as error:
        return _located(app, entry, error.message, error.kind)
    except LuaflowError as error:
        return _located(app, entry, error.message, type(error).__name__)
    return _located(app, entry, "it returned false") if value is False else None


async def _call(running: Running, entry: Entry) -> Any:
    """Run the code of a test as what it is: a workflow, a process or a function."""
    if not isinstance(entry, WorkflowEntry):
        assert isinstance(entry, CallableEntry)
        return await running.call(entry)
    handle = await running.client.start(entry.id)
    try:
        return await handle.result()
    except asyncio.CancelledError:
        with contextlib.suppress(LuaflowError):
            await handle.terminate("the test is over")
        raise


def _located(app: App, entry: Entry, message: str, kind: str = "Internal") -> Problem:
    from luaflow_cli.check import find_place

    file, line = entry.file, entry.line()
    if isinstance(entry, LuaEntry):
        file, line, message = find_place(app, entry, message)
    missing = _NO_MODULE.search(message)
    if missing and missing[1] in KNOWN - PROVIDED:
        message += " \u2013 this release of luaflow does not provide it"
    return Problem(message, file, line, kind)
