"""Settling: soon after a run has closed its history is packed, and its retention is found.

A run that closes leaves a second date in ``gc``: ``p|<run>``. A scheduler of a release that knows
nothing of it removes that date and nothing else; such a run simply stays unpacked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from luaflow.domain import packing
from luaflow.errors import LuaflowError
from luaflow.observe.logs import run_fields
from luaflow.store import keys, past
from luaflow.store.keeping import keep_run
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.past import event_of
from luaflow.store.store import Store
from luaflow_scheduler.dates import BROKEN_MS, SOON_MS, Date, run_apart
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.retention import Retention

log = logging.getLogger(__name__)

MOST_EVENTS = 20_000
MOST_BYTES = 8 * 1024 * 1024
"""A longer or larger history stays a stream: packing it would hold a scheduler up."""
AT_ONCE = 1024 * 1024
"""Bytes of histories that are read in one go."""
LOOK_SECONDS = 10.0
"""How long it is believed that all workers read packed histories, or that one does not."""
_READ = ("status", "len", "size", "past")


class _Closed(NamedTuple):
    date: Date
    about: packing.About


class Settling:
    """Packs the histories of closed runs, as long as every worker can read them packed."""

    def __init__(self, store: Store, metrics: SchedulerMetrics, rules: Retention) -> None:
        self.rules = rules
        self._store = store
        self._metrics = metrics
        self._looked = float("-inf")
        self._readable = False

    async def settle(self, p: Partition, due: Sequence[Date]) -> list[tuple[Date, int]]:
        """Settle closed runs; return the dates nobody could act on, with ms to put them off."""
        if not due:
            return []
        await self._keep(p, due)
        if not await self.readable():
            return [(date, BROKEN_MS) for date in due]
        states = await self._store.read(
            *(("HMGET", p.run(d.run_id), *_READ, *packing.STATED) for d in due)
        )
        left: list[tuple[Date, int]] = []
        group: list[_Closed] = []
        size = 0
        for date, (status, length, bytes_, packed, *rest) in zip(due, states, strict=True):
            large = int(length or 0) > MOST_EVENTS or int(bytes_ or 0) > MOST_BYTES
            if status is None or packed is not None or (status != b"running" and large):
                await self._forget(p, [date])
                continue
            if status == b"running":
                left.append((date, SOON_MS))
                continue
            group.append(_Closed(date, packing.about(date.run_id, rest)))
            size += int(bytes_)
            if size >= AT_ONCE:
                left += await self._pack(p, group)
                group, size = [], 0
        return left + await self._pack(p, group)

    async def _keep(self, p: Partition, due: Sequence[Date]) -> None:
        """Give closed runs the date at which they go, where that is not the usual one."""
        wanted = await self.rules.of(p, [d.run_id for d in due])
        calls = [
            keep_run(partition=p, run_id=d.run_id, verb="settle", ms=one.ms or 0)
            for d, one in zip(due, wanted, strict=True)
            if not one.settled and (one.pinned or one.ms is not None)
        ]
        await run_apart(self._store, calls)

    async def readable(self) -> bool:
        """Whether each worker that lives says that it reads packed histories (rolling upgrades)."""
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._readable = await _all_read(self._store)
            self._looked = now
        return self._readable

    async def _pack(self, p: Partition, group: Sequence[_Closed]) -> list[tuple[Date, int]]:
        if not group:
            return []
        assert self._store.border is None, "what was opened is not to be packed"
        streams = await self._store.read(
            *(("XRANGE", p.hist(run.date.run_id), "-", "+") for run in group)
        )
        histories = [[event_of(entry) for entry in entries] for entries in streams]
        packs = await asyncio.to_thread(
            lambda: [
                packing.pack(events, run.about)
                for events, run in zip(histories, group, strict=True)
            ]
        )
        calls, dates, large = list[Call](), list[Date](), list[Date]()
        left = list[tuple[Date, int]]()
        for (date, about), events, pack in zip(group, histories, packs, strict=True):
            if not events or events[-1].id != len(events):
                text = "the history of the run %s is not whole: it is not packed"
                log.error(text, date.run_id, extra=run_fields(date.run_id))
                left.append((date, BROKEN_MS))
                continue
            if len(pack) > packing.MOST:
                large.append(date)
                continue
            dates.append(date)
            calls.append(past.compact_run(partition=p, about=about, events=events, packed=pack))
        await self._forget(p, large)
        for date, answer in zip(dates, await run_apart(self._store, calls), strict=True):
            if isinstance(answer, LuaflowError):
                text, extra = "packing the history of the run %s: %s", run_fields(date.run_id)
                log.error(text, date.run_id, answer, extra=extra)
                left.append((date, BROKEN_MS))
            elif answer[0] == b"ok":
                self._metrics.run_packed()
            elif answer[0] == b"open":
                left.append((date, SOON_MS))
        return left

    async def _forget(self, p: Partition, dates: Sequence[Date]) -> None:
        """Take back the dates of runs that need none any more."""
        if dates:
            await self._store.read(("ZREM", p.gc, *(d.member for d in dates)))


async def _all_read(store: Store) -> bool:
    (workers,) = await store.read(("ZRANGE", keys.workers(store.namespace), 0, -1))
    names = [bytes(worker).decode() for worker in workers]
    records = (
        await store.read(
            *(("HGET", keys.worker(store.namespace, name), "record") for name in names)
        )
        if names
        else []
    )
    return all(
        orjson.loads(record).get("packed", 0) >= packing.FORMAT for record in records if record
    )
