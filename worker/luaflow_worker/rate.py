"""How many activities a second may start: a bucket of tokens, filled with time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Rate:
    """Allows ``per_second`` starts a second, in bursts of one second at most; 0: any number."""

    def __init__(self, per_second: float, more: Callable[[], None] = lambda: None) -> None:
        """``more()`` is called when a start is allowed again after none was."""
        self._per_second = per_second
        self._more = more
        self._most = max(1.0, per_second)
        self._tokens = self._most
        self._at = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def allowed(self, most: int) -> int:
        """Return how many may start now, ``most`` at the most."""
        if not self._per_second:
            return most
        self._fill()
        if self._tokens < 1 and self._alarm is None:
            wait = (1 - self._tokens) / self._per_second
            self._alarm = asyncio.get_running_loop().call_later(wait, self._ring)
        return min(most, int(self._tokens))

    def take(self, count: int = 1) -> None:
        """Count starts."""
        self._tokens -= count

    async def wait(self) -> None:
        """Wait for a start to be allowed, and take it."""
        self._fill()
        self._tokens -= 1
        if self._per_second and self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._per_second)

    def _fill(self) -> None:
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._per_second)
        self._at = now

    def _ring(self) -> None:
        self._alarm = None
        self._more()
