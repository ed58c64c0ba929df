"""How deep queues and outboxes are, and how long the first of them has waited."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

from luaflow.domain.lanes import base_of
from luaflow.store.link import Arg
from luaflow.store.store import Store

KINDS = ("workflow", "activity")
OUTBOXES = 4_096
"""Outboxes measured in one reading; with more than 64 partitions it takes several."""

Label = tuple[str, str]
"""A queue and a kind of tasks."""


class QueueDepths:
    """The tasks of queues that no worker has taken, and the age of the oldest, by queue and kind.

    The oldest is looked for where the reading before found tasks: no empty stream is asked twice.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._filled: dict[str, Label] = {}
        self.oldest: dict[Label, float] = {}
        """Seconds, as of the last reading."""

    async def read(self, names: Sequence[str]) -> dict[Label, int]:
        """How many tasks wait in the queues of these names (lanes count with their queue)."""
        streams: dict[str, Label] = {}
        for p, name in product(self._store.partitions, names):
            streams[p.workflow_queue(name)] = (base_of(name), "workflow")
            streams[p.activity_queue(name)] = (base_of(name), "activity")
        heads = [stream for stream in self._filled if stream in streams]
        commands: list[tuple[Arg, ...]] = [("XLEN", stream) for stream in streams]
        commands += [("XRANGE", stream, "-", "+", "COUNT", 1) for stream in heads]
        *answers, now = await self._store.read(*commands, ("TIME",))
        found = dict.fromkeys(product(map(base_of, names), KINDS), 0)
        oldest = dict.fromkeys(found, 0.0)
        filled = {}
        for (stream, label), length in zip(streams.items(), answers, strict=False):
            found[label] += length
            if length:
                filled[stream] = label
        self._filled = filled
        for stream, page in zip(heads, answers[len(streams) :], strict=True):
            label = streams[stream]
            oldest[label] = max(oldest[label], _age(page, now))
        self.oldest = oldest
        return found


class OutboxDepths:
    """The messages in outboxes, and how long one of them has had the same first message."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pairs: Iterator[tuple[int, int]] = iter(())
        self._depths: dict[tuple[int, int], int] = {}
        self._heads: dict[tuple[int, int], tuple[bytes, float]] = {}
        self.stuck = 0.0
        """Seconds, as of the last reading."""

    async def read(self) -> int:
        """The messages in all outboxes; of a large namespace a part is measured each time."""
        partitions = self._store.partitions
        pairs = list(islice(self._pairs, OUTBOXES))
        if not pairs:
            numbers = range(len(partitions))
            self._pairs = product(numbers, numbers)
            pairs = list(islice(self._pairs, OUTBOXES))
        filled = list(self._depths)
        answers = await self._store.read(
            *(("XLEN", partitions[s].outbox(r)) for s, r in pairs),
            *(("XRANGE", partitions[s].outbox(r), "-", "+", "COUNT", 1) for s, r in filled),
        )
        for pair, length in zip(pairs, answers, strict=False):
            if length:
                self._depths[pair] = length
            else:
                self._depths.pop(pair, None)
        self._note(dict(zip(filled, answers[len(pairs) :], strict=True)))
        return sum(self._depths.values())

    def _note(self, pages: dict[tuple[int, int], Any]) -> None:
        now = time.monotonic()
        before, self._heads = self._heads, {}
        for pair, page in pages.items():
            if page:
                head = bytes(page[0][0])
                known = before.get(pair)
                self._heads[pair] = known if known and known[0] == head else (head, now)
        self.stuck = max((now - since for _, since in self._heads.values()), default=0.0)


def _age(page: Any, now: Sequence[Any]) -> float:
    """Seconds since the first entry of a stream was added; 0 where there is none."""
    if not page:
        return 0.0
    added = int(bytes(page[0][0]).partition(b"-")[0])
    return max(0.0, int(now[0]) + int(now[1]) / 1e6 - added / 1000)
