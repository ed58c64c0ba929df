"""Runs whose decisions follow one another without end: they keep no others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LASTING_ROUNDS = 20
"""From this round of a batch on, nobody waits any more for those that go on in it."""


class Lasting:
    """Counts the runs of batches that go on, round after round (a loop of activities that end at
    once, a run that writes to itself).

    A worker reads few tasks while decisions are on their way, for they are over soon. Where these
    are not, it would read nothing for as long as they go on.
    """

    def __init__(self, freed: asyncio.Event) -> None:
        """``freed`` is set when there are more of them."""
        self._freed = freed
        self.many = 0

    @contextmanager
    def batch(self) -> Iterator[Callable[[int], None]]:
        """A batch begins; what is given is told before each round how many runs are in it."""
        rounds = counted = 0

        def goes_on(runs: int) -> None:
            nonlocal rounds, counted
            rounds += 1
            if rounds > LASTING_ROUNDS:
                self.many += runs - counted
                if runs > counted:
                    self._freed.set()
                counted = runs

        try:
            yield goes_on
        finally:
            self.many -= counted
