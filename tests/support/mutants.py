"""Planted violations: what the tests must find.

``mutant`` loads a script, ``kernel_mutant`` a file of the Lua prelude with an altered text;
``replaced`` puts another method into a class. ``proves`` runs a test once as it is and once under
each violation, where it must fail: a test that cannot fail proves nothing.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from lupa import lua51

from luaflow.errors import LuaflowError
from luaflow.lua import files
from luaflow.store import scripts

log = logging.getLogger(__name__)

FOUND = (AssertionError, LuaflowError, TimeoutError, LookupError, pytest.fail.Exception)
"""How a violation shows itself."""


class Violation:
    """A named way to break a rule; entering it breaks it, leaving it heals it."""

    def __init__(self, name: str, *make: Callable[[], AbstractContextManager[Any]]) -> None:
        self.name = name
        self._make = make

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Break the rule for a while."""
        with ExitStack() as stack:
            for make in self._make:
                stack.enter_context(make())
            yield


@contextmanager
def altered_script(path: str, old: str, new: str) -> Iterator[None]:
    """Load the script or include ``path`` with ``old``, which must occur, replaced."""
    read = scripts._read
    text = read(f"{path}.lua")
    users = _users(path)
    assert old in text, f"{path}.lua does not contain {old!r}: the planted violation is out of date"

    def altered(name: str) -> str:
        return read(name).replace(old, new) if name == f"{path}.lua" else read(name)

    scripts.load.cache_clear()
    try:
        with patch.object(scripts, "_read", altered):
            _compile(path, users)
            yield
    finally:
        scripts.load.cache_clear()


@functools.cache
def _files() -> dict[str, set[str]]:
    """Each script, and the files that it is made of."""
    read, found = scripts._read, {}
    scripts.load.cache_clear()
    for name in scripts.names():
        files_of = found[name] = set[str]()
        with patch.object(
            scripts, "_read", lambda file, of=files_of: (of.add(file), read(file))[1]
        ):
            scripts.load(name)
    return found


def _users(path: str) -> list[str]:
    """The scripts that a script or include is a part of."""
    return [name for name, files_of in _files().items() if f"{path}.lua" in files_of]


def _compile(path: str, users: list[str]) -> None:
    """Fail for a text that is no Lua: a syntax error would be found by every test."""
    assert users, f"no script is made of {path}.lua"
    lua = lua51.LuaRuntime(encoding=None)
    for name in users:
        body = scripts.load(name).body.split(b"\n", 1)[1]
        error = lua.execute(b"local f, e = loadstring(...); return e", body)
        assert error is None, f"{path} altered: {error!r}"


@contextmanager
def altered_kernel(name: str, old: str, new: str) -> Iterator[None]:
    """Load the file ``name`` of the prelude with ``old``, which must occur, replaced."""
    read, text = files.prelude_file, files.prelude_file(name)
    assert old.encode() in text, f"{name}.lua of the prelude does not contain {old!r}"
    changed = text.replace(old.encode(), new.encode())
    with patch.object(files, "prelude_file", lambda file: changed if file == name else read(file)):
        yield


def mutant(path: str, old: str, new: str, *more: tuple[str, str, str]) -> Violation:
    """A violation by altered scripts: ``path old new``, and more such triples."""
    parts = ((path, old, new), *more)
    name = f"{path}: {' '.join(old.split())[:40]} -> {' '.join(new.split())[:30]}"
    return Violation(name, *(functools.partial(altered_script, *part) for part in parts))


def kernel_mutant(name: str, old: str, new: str) -> Violation:
    """A violation by an altered file of the prelude."""
    return Violation(f"prelude {name}", functools.partial(altered_kernel, name, old, new))


def replaced(target: Any, attribute: str, value: Any) -> Violation:
    """A violation by another attribute of a class or module."""
    assert hasattr(target, attribute), f"{target} has no {attribute}"
    name = f"{getattr(target, '__name__', target)}.{attribute}"
    return Violation(name, lambda: patch.object(target, attribute, value))


def patience() -> float:
    """Seconds a test waits for what must come: few where a violation may keep it from coming."""
    return 1.0 if _planted else 10.0


_planted: list[Violation] = []
Test = Callable[..., Awaitable[None]]


async def _failure(test: Awaitable[None]) -> str:
    """How a test fails; nothing when it passes."""
    try:
        await test
    except FOUND as error:
        return str(error) or repr(error)
    return ""


def proves(*violations: Violation) -> Callable[[Test], Test]:
    """Run an async test as it is, and once under each violation, where it must fail.

    Fixtures with a ``check`` are checked as part of the test, and know (``excused``) that what a
    violation left behind is no mistake of the test.
    """

    def wrap(test: Test) -> Test:
        async def whole(fixtures: dict[str, Any]) -> None:
            await test(**fixtures)
            for fixture in fixtures.values():
                if hasattr(fixture, "check"):
                    await fixture.check()

        @functools.wraps(test)
        async def both(violation: Violation | None, **fixtures: Any) -> None:
            if violation is None:
                await whole(fixtures)
                return
            for fixture in fixtures.values():
                if hasattr(fixture, "check"):
                    fixture.excused = True
            with violation():
                _planted.append(violation)
                try:
                    found = await _failure(whole(fixtures))
                finally:
                    _planted.clear()
            assert found, f"the planted violation was not found ({violation.name})"
            assert "attempt to" not in found, f"the violation is broken itself: {found}"
            log.info("found: %s", found)

        own = inspect.signature(test)
        extra = inspect.Parameter("violation", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        both.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[extra, *own.parameters.values()]
        )
        marked = pytest.mark.parametrize(
            "violation",
            [None, *violations],
            ids=["holds", *(f"planted-{i}" for i in range(1, len(violations) + 1))],
        )
        return marked(both)  # type: ignore[no-any-return]

    return wrap
