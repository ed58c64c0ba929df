"""What a fault is."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar

from tests.chaos.world import World


class Fault:
    """Something that goes wrong at a planned moment; its docstring is what ``--help`` says of it.

    ``every``: seconds between two of them where no number is asked for. ``needs``: "network" (all
    goes through the proxy), "clocks" (the clocks of the processes can be moved).
    """

    name: ClassVar[str]
    every: ClassVar[float] = 2.0
    needs: ClassVar[frozenset[str]] = frozenset()

    def moments(self, chance: random.Random, times: int, begin: float, end: float) -> list[float]:
        """When it happens (s from the start): spread evenly, each anywhere in its share."""
        share = (end - begin) / max(times, 1)
        return [begin + share * (i + chance.random()) for i in range(times)]

    async def happen(self, world: World, chance: random.Random) -> None:
        """Do it, undo it, and count it in ``world.counts``."""
        raise NotImplementedError


class Ambient(Fault):
    """A fault that is there all the time, with a chance for each request; it counts itself."""

    least: ClassVar[float] = 10.0
    """How many a minute must have happened for the run to mean anything, where no number is
    asked for."""
    needs = frozenset({"network"})

    def begin(self, world: World) -> None:
        """Let it happen from now on."""
        raise NotImplementedError

    def counted(self, world: World) -> int:
        """How often it happened."""
        raise NotImplementedError


Registry = Mapping[str, Fault]
