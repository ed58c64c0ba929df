"""What a target is: something that takes any bytes, and answers or refuses, soon."""

from __future__ import annotations

import random
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from luaflow.errors import LuaflowError

SECONDS = 1.0
"""An input that takes longer hangs."""


class Hang(Exception):
    """An input took too long."""


class Target(ABC):
    """Something to be fuzzed.

    ``make`` writes an input; ``run`` takes one, and raises only for what it must not do:
    LuaflowError is an answer (a refusal), anything else is a finding. ``quick`` inputs run in
    ``make test``; ``share`` is its part of the time of a long run, and ``rate`` the inputs that one
    core takes in a second, roughly: with ``share`` it says its part of a number of inputs.
    """

    name: ClassVar[str]
    quick: ClassVar[int] = 300
    share: ClassVar[float] = 1.0
    rate: ClassVar[float] = 10_000.0
    seconds: ClassVar[float] = SECONDS

    def open(self) -> None:
        """Get what the inputs need."""

    def close(self) -> None:
        """Give it back."""

    @abstractmethod
    def make(self, chance: random.Random) -> bytes:
        """An input; the same one for the same state of ``chance``."""

    @abstractmethod
    def run(self, data: bytes) -> None:
        """Take an input."""

    def once(self, data: bytes) -> str:
        """Take an input; what is wrong with what came of it, '' when nothing is."""
        try:
            with limited(self.seconds):
                self.run(data)
        except LuaflowError as error:
            return wrong_words(error)
        except Hang:
            return f"hangs: more than {self.seconds} s"
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return f"{type(error).__name__}: {str(error)[:300]}{place_of(error)}"
        return ""


def wrong_words(error: LuaflowError) -> str:
    """What is wrong with an error meant for people."""
    if not error.message.strip():
        return f"{type(error).__name__} without words"
    return ""


def place_of(error: BaseException) -> str:
    """The innermost line of an error's traceback."""
    at: Any = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return ""
    return f" ({at.tb_frame.f_code.co_filename.rpartition('/')[2]}:{at.tb_lineno})"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Hang in what runs longer, unless it never comes back to Python (``running`` sees that).

    The clock is this process's CPU time, so that a busy machine is no hang.
    """

    def late(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
