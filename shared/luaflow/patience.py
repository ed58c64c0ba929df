"""A bound of CPU time for code that has none: libraries at work on what others wrote.

A regular expression of ten characters can keep Python busy for years, and holds the interpreter's
lock meanwhile. Only a signal ends it, and only in the main thread, where the loops of luaflow run;
in other threads there is no bound.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class OutOfTime(Exception):
    """The bound was reached."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in what runs inside after so many seconds of this thread's CPU time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    began = time.thread_time()

    def ring(_signal: int, _frame: object) -> None:
        # the timer counts what all threads use together
        left = seconds - (time.thread_time() - began)
        if left <= 0:
            raise OutOfTime
        signal.setitimer(signal.ITIMER_PROF, left)

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
