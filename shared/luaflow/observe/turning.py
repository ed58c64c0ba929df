"""Liveness: does the event loop still turn? Answered without asking Redis, on any thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

HUNG_SECONDS = 10.0
TURN_SECONDS = 1.0


class Turning:
    """Notes once a second that the event loop turned; ``alive()`` says whether it did lately."""

    def __init__(self, late: Callable[[float], None] = lambda _: None) -> None:
        """``late(seconds)`` is told each time how much later than asked for the loop came back."""
        self._late = late
        self._turned = time.monotonic()
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to note; call it on the loop."""
        self._turned = time.monotonic()
        self._next = asyncio.get_running_loop().call_later(TURN_SECONDS, self._turn)

    def _turn(self) -> None:
        self._late(max(0.0, time.monotonic() - self._turned - TURN_SECONDS))
        self.start()

    def stop(self) -> None:
        """Stop noting."""
        if self._next:
            self._next.cancel()
            self._next = None

    def alive(self) -> tuple[bool, str]:
        """Whether the loop turned within the last ten seconds, and when it did."""
        silent = time.monotonic() - self._turned
        return silent < HUNG_SECONDS, f"the event loop turned {silent:.0f} s ago"
