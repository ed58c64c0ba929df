"""Many orders at once, the log of what their client was told, and the verdict over all of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.support.effects import read_effects
from tests.support.histories import (
    History,
    effect_problems,
    leftovers,
    problems_of,
    read_histories,
    signal_problems,
)

from luaflow import Client
from luaflow.errors import Unavailable, Unknown

T = TypeVar("T")


async def until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again what may be asked twice, for as long as the server is away."""
    while True:
        try:
            return await ask()
        except (Unknown, Unavailable):
            continue  # it was waited for already, and not for a short time


class Progress:
    """Counts what happened, wherever it happened; a fault waits for its number."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def tick(self) -> None:
        """Something happened."""
        self.count += 1
        for number, event in self._waiting:
            if number <= self.count:
                event.set()

    def on_line(self, line: str) -> None:
        """The same, where it is an activity that says so."""
        if line.startswith("effect "):
            self.tick()

    async def reach(self, number: int) -> None:
        """Return when so much has happened."""
        event = asyncio.Event()
        self._waiting.append((number, event))
        if self.count < number:
            await event.wait()


class Orders:
    """A client's orders: ``items`` signals each, sent one after the other while the order runs.

    ``patience``: seconds an order may take, faults and all.
    """

    def __init__(
        self,
        client: Client,
        progress: Progress,
        *,
        items: int = 2,
        at_once: int = 20,
        patience: float = 60.0,
    ) -> None:
        self._client = client
        self._progress = progress
        self._items = items
        self._patience = patience
        self._slots = asyncio.Semaphore(at_once)
        self.results: dict[str, Any] = {}
        self.acknowledged: defaultdict[str, list[int]] = defaultdict(list)
        self.unknown: defaultdict[str, list[int]] = defaultdict(list)

    @staticmethod
    def events(orders: int, items: int = 2) -> int:
        """How far the progress comes at least: start, signals, three effects, end of each order."""
        return orders * (2 + items + 3)

    async def place(self, number: int) -> None:
        """Start an order, send its signals, wait for its result."""
        workflow_id = f"order-{number}"
        async with self._slots:
            handle = await until_answered(
                lambda: self._client.start(
                    "app:order", {"items": self._items}, id=workflow_id, request_id=workflow_id
                )
            )
            self._progress.tick()
            sent = 0
            while len(self.acknowledged[workflow_id]) < self._items:
                sent += 1
                try:
                    await handle.signal("item", sent)
                    self.acknowledged[workflow_id].append(sent)
                except (Unknown, Unavailable):
                    self.unknown[workflow_id].append(sent)
                self._progress.tick()
            try:
                self.results[workflow_id] = await until_answered(
                    lambda: handle.result(self._patience)
                )
            except TimeoutError:
                raise AssertionError(f"it hangs: {await handle.describe()}") from None
            self._progress.tick()

    async def place_many(self, count: int) -> None:
        """Place so many orders, ``at_once`` of them at a time."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self.place(number))

    async def verdict(self, effects: Path) -> list[str]:
        """Everything that is wrong with what is left, once all programs have stopped."""
        histories = await read_histories(self._client)
        problems = [problem for history in histories for problem in self._problems(history)]
        problems += effect_problems(histories, read_effects(effects))
        if {h.workflow_id for h in histories} != set(self.results):
            problems.append(f"{len(self.results)} orders, {len(histories)} histories")
        left = await leftovers(self._client, histories)
        return problems + [f"left: {key} {what}" for key, what in left.items()]

    def _problems(self, history: History) -> list[str]:
        order = history.workflow_id
        result = self.results.get(order) or {}
        found = list(problems_of(history))
        if history.events[-1].type != "WorkflowExecutionCompleted":
            found.append(f"{order}: ended with {history.events[-1]!r}")
        found += signal_problems(
            history, self.acknowledged[order], self.unknown[order], result.get("numbers", ())
        )
        return found
