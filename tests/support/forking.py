"""Starts luaflow's programs as forks of a prepared process; see ``zygote``.

While ``FORKS`` is entered, a process of this one whose command is ``python -m <program>`` is made
by the zygote, whoever asks for it: ``subprocess`` and ``asyncio`` come by here alike. It is a child
of this process all the same. Everything else, and everything in a test that uses the fixture
``true_processes``, starts as ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from tests.support import zygote
from tests.support.forks import make, of_today, recognized

ROOT = Path(__file__).parents[2]
SHIM = Path(__file__).with_name("shim.py")
TRUE = "LUAFLOW_TEST_TRUE_PROCESSES"
"""Set to anything, this variable has every program started by ``python -m``."""


def wanted() -> bool:
    """Whether programs may be forked: not where each is to be measured, or cannot be made so."""
    measured = any(name.startswith("COVERAGE_PROCESS") for name in os.environ)
    return zygote.possible() and not measured and not os.environ.get(TRUE)


class Forks:
    """The zygote of this process: it starts with the first program that is asked for."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._address = uuid.uuid4().hex
        self._true = not wanted()
        self._fork_exec: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined]
        self._patch = patch.object(subprocess, "_fork_exec", self._make)

    def __enter__(self) -> Self:
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()
        if self._process:
            self._process.kill()
            self._process.communicate()

    @contextlib.contextmanager
    def true(self) -> Iterator[None]:
        """Start programs as ever for a while."""
        before, self._true = self._true, True
        try:
            yield
        finally:
            self._true = before

    def command(self, module: str) -> list[str]:
        """What stands before the arguments of a program in a command of a shell."""
        if self._true:
            return [sys.executable, "-m", module]
        self._start()
        return [sys.executable, "-ISs", str(SHIM), self._address, module]

    def _start(self) -> None:
        if self._process:
            return
        command = [sys.executable, "-m", "tests.support.zygote", self._address, str(os.getpid())]
        with self.true():
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if not k.startswith("LUAFLOW")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n", "the zygote did not come up"

    def _make(self, *how: Any) -> int:
        """In the place of ``_posixsubprocess.fork_exec``, which makes all processes."""
        program = None if self._true else recognized([os.fsdecode(word) for word in how[0]])
        if program is None or not of_today(how):
            return self._fork_exec(*how)
        self._start()
        program = program._replace(death=signal.SIGKILL)  # none outlives the tests
        return make(self._address, program, how)


FORKS = Forks()
"""Those of this process."""
