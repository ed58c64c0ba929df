"""Rate limits of activities over the whole namespace: slices of starts, leased from an entity.

A worker asks for a tenth of a second's worth at a time, so that it rarely asks; what it does not
use within a second is lost, so that no worker saves starts up. Where none is free, the entity names
the moment at which one will be: the activity waits for it, and nobody asks again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from luaflow.domain.flow import RateLimit, group_of, rate_of
from luaflow.domain.lanes import base_of
from luaflow.registry.app import App
from luaflow.registry.entries import CallableEntry
from luaflow.store import attempts
from luaflow.store.gates import reserve
from luaflow.store.store import Store
from luaflow_worker.attempt import Attempt

SLICE_SECONDS: Final = 0.1
KEPT_SECONDS: Final = 1.0
SOON_MS: Final = 100
"""What an attempt may wait for its moment in the worker that took it."""
LATE_MS: Final = 1000
"""How much later than at its moment an attempt may start without asking again."""
MOST_KEYS: Final = 1000
"""Limits whose slices are remembered: keys come from arguments."""

Rate = Mapping[str, Any]


def per_second(rate: float) -> RateLimit:
    """A rate a second as a limit in a while; both are whole numbers."""
    limit = max(1, int(rate))
    return RateLimit(limit, max(1, round(1000 * limit / rate)))


def queue_rates(app: App, queues: Sequence[str]) -> dict[str, RateLimit]:
    """The limits of whole queues, by queue; of several worker entries the first one counts."""
    found: dict[str, RateLimit] = {}
    for entry in app.workers.values():
        rate = entry.options.task_queue_activities_per_second
        if rate and entry.task_queue in queues:
            found.setdefault(entry.task_queue, per_second(rate))
    return found


def has_moment(moment: bytes | None, attempt: int, now: int) -> bool:
    """Whether an attempt has come for a moment that was reserved for it (``attempt|time``).

    One that comes much too late (the schedulers were away) has lost it: all that waited would
    begin at once.
    """
    if not moment:
        return False
    number, _, time = bytes(moment).partition(b"|")
    return int(number) == attempt and now - int(time) <= LATE_MS


class Limits:
    """What this worker knows of rate limits over all workers."""

    def __init__(
        self,
        store: Store,
        queues: Mapping[str, RateLimit],
        registered: Callable[[str], CallableEntry | None],
    ) -> None:
        """``registered(name)`` is the entry of an activity, which may have a limit."""
        self._store = store
        self._queues = queues
        self._registered = registered
        self._slices: dict[str, tuple[int, float]] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def concern(self, entry: CallableEntry) -> bool:
        """Whether an activity of this worker may have to wait before it starts."""
        return bool(self._queues or entry.rate_limit)

    def of(self, attempt: Attempt) -> list[Rate]:
        """The limits that a start of this attempt counts for; none for nearly all."""
        found: list[Rate] = []
        if whole := self._queues.get(base_of(attempt.queue)):
            found.append(rate_of(whole, f"queue\n{base_of(attempt.queue)}"))
        entry = self._registered(attempt.activity)
        if entry is not None and entry.rate_limit:
            args = orjson.loads(attempt.input)
            group = group_of(entry.id, entry.rate_limit.key, args)
            found.append(rate_of(entry.rate_limit, f"activity\n{group}"))
        return found

    async def admit(self, attempt: Attempt, rates: Sequence[Rate]) -> bool:
        """Return whether an attempt may start now; else it comes back when its moment has come."""
        wait = max([await self._one(rate) for rate in rates])
        if wait > SOON_MS:
            await self._store.one(
                attempts.postpone_activity(
                    partition=attempt.partition,
                    run_id=attempt.run_id,
                    seq=str(attempt.seq),
                    token=attempt.token,
                    delay=wait,
                )
            )
            return False
        await asyncio.sleep(wait / 1000)
        return True

    async def _one(self, rate: Rate) -> int:
        """Take a start from one limit; the ms until it allows it."""
        key = str(rate["key"])
        async with self._asking[key]:  # those behind find the slice that the first one brings
            now = asyncio.get_running_loop().time()
            left, until = self._slices.get(key, (0, 0.0))
            if left and now < until:
                self._slices[key] = left - 1, until
                return 0
            want = max(1, int(SLICE_SECONDS * 1000 * rate["limit"] / rate["per_ms"]))
            got = await reserve(self._store, rate, want)
            self._forget_old(now)
            if got.granted > 1:
                self._slices[key] = got.granted - 1, now + KEPT_SECONDS
            return got.wait

    def _forget_old(self, now: float) -> None:
        if len(self._asking) > MOST_KEYS:
            self._slices = {key: kept for key, kept in self._slices.items() if now < kept[1]}
            for key in [key for key, lock in self._asking.items() if not lock.locked()]:
                del self._asking[key]
