"""Many journeys at once, the log of what their client was told, and the verdict over all of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.crash.orders import Progress, until_answered
from tests.support.effects import read_effects
from tests.support.histories import effect_problems, leftovers, problems_of, read_histories

from luaflow import Client

LEGS = 2
SIGNALS = 2
"""In each leg."""


class Journeys:
    """A client's journeys: each with signals and updates while it runs, and children."""

    def __init__(self, client: Client, progress: Progress, *, at_once: int = 24) -> None:
        self._client = client
        self._progress = progress
        self._slots = asyncio.Semaphore(at_once)
        self.results: dict[str, Any] = {}
        self._sent: defaultdict[str, list[int]] = defaultdict(list)
        self._notes: defaultdict[str, int] = defaultdict(int)

    async def make(self, name: str) -> None:
        """Start a journey, send what it waits for, wait for its result."""
        trip = {"leg": 1, "legs": LEGS, "signals": SIGNALS, "numbers": [], "total": 0, "notes": 0}
        async with self._slots:
            handle = await until_answered(
                lambda: self._client.start("app:journey", trip, id=name, request_id=name)
            )
            note = await until_answered(lambda: handle.update("note", 1, update_id=f"{name}-1"))
            self._notes[name] += note
            for number in range(1, LEGS * SIGNALS + 1):
                await handle.signal("item", number)
                self._sent[name].append(number)
                self._progress.tick()
            try:
                self.results[name] = await until_answered(lambda: handle.result(60))
            except TimeoutError:
                raise AssertionError(f"it hangs: {await handle.describe()}") from None
            self._progress.tick()

    async def verdict(self, effects: Path) -> list[str]:
        """Everything that is wrong with what is left, once all programs have stopped."""
        histories = await read_histories(self._client)
        problems = [problem for history in histories for problem in problems_of(history)]
        # the activity of a child is in Lua, which leaves no trace
        legs = [history for history in histories if history.workflow_id in self.results]
        problems += effect_problems(legs, read_effects(effects))
        for name, result in self.results.items():
            wanted = {
                "numbers": self._sent[name],
                "total": sum(2 * leg for leg in range(1, LEGS + 1)),
                "notes": self._notes[name],
            }
            if result != wanted:
                problems.append(f"{name}: {result}, not {wanted}")
        # each journey is as many runs as it has legs, each with a child
        if len(histories) != 2 * LEGS * len(self.results):
            problems.append(f"{len(self.results)} journeys, {len(histories)} histories")
        left = await leftovers(self._client, histories)
        return problems + [f"left: {key} {what}" for key, what in left.items()]
