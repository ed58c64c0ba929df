"""Kills processes of both trees and replaces them by the other's: upgrade, rollback, and mixed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.crash.orders import Progress
from tests.support.processes import Program
from tests.upgrade.trees import AGES, Age, MixedFleet


class Seat(NamedTuple):
    """A process: which tree it is of, what it does."""

    age: Age
    kind: str
    program: Program


class Roller:
    """Two workers and two schedulers, one of each tree at first; then as the seed says."""

    def __init__(self, fleet: MixedFleet, progress: Progress, seed: int) -> None:
        self._fleet = fleet
        self._progress = progress
        self._random = random.Random(seed)
        self.seats: list[Seat] = []
        self.moves: Counter[str] = Counter()

    async def begin(self, ages: Sequence[Age] = AGES) -> None:
        """Start one worker and one scheduler of each tree."""
        for kind in ("worker", "scheduler"):
            for age in ages:
                self.seats.append(Seat(age, kind, await self._fleet.start(age, kind)))

    async def run(self, every: int) -> None:
        """Replace one process at each so many ticks of the progress, until cancelled."""
        while True:
            await self._progress.reach(self._progress.count + every)
            await self.replace(self._random.randrange(len(self.seats)))

    async def replace(self, which: int) -> None:
        """Kill or stop one process; another one takes its seat, mostly of the other tree."""
        age, kind, program = self.seats[which]
        if self._random.randrange(3):
            await program.kill()
        else:
            await program.stop()
        next_age: Age = self._random.choice((*AGES, "new" if age == "old" else "old"))
        # ready: a process killed before it works says nothing about two that work together
        self.seats[which] = Seat(next_age, kind, await self._fleet.start(next_age, kind))
        self.moves[f"{kind} {age} -> {next_age}"] += 1


async def rolled(roller: Roller, journeys: asyncio.Future[None], every: int) -> None:
    """Replace processes for as long as the journeys last."""
    rolling = asyncio.ensure_future(roller.run(every))
    try:
        await asyncio.wait({rolling, journeys}, return_when=asyncio.FIRST_COMPLETED)
        if rolling.done():
            rolling.result()  # it only ends with an error
    finally:
        rolling.cancel()
        journeys.cancel()
        await asyncio.wait({rolling, journeys})
    journeys.result()
