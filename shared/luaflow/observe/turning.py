"""Liveness: does the event loop still turn? Answered without asking Redis, on any thread."""

from __future__ import annotations

import asyncio
import time

HUNG_SECONDS = 10.0
TURN_SECONDS = 1.0


class Turning:
    """Notes once a second that the event loop turned; ``alive()`` says whether it did lately."""

    def __init__(self) -> None:
        self._turned = time.monotonic()
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to note; call it on the loop."""
        self._turned = time.monotonic()
        self._next = asyncio.get_running_loop().call_later(TURN_SECONDS, self.start)

    def stop(self) -> None:
        """Stop noting."""
        if self._next:
            self._next.cancel()
            self._next = None

    def alive(self) -> tuple[bool, str]:
        """Whether the loop turned within the last ten seconds, and when it did."""
        silent = time.monotonic() - self._turned
        return silent < HUNG_SECONDS, f"the event loop turned {silent:.0f} s ago"
