"""Memory pressure: what a scheduler does, in which order, as the server's memory fills.

From 70 % on closed histories are packed at once, from 80 % on the oldest closed runs go to the
archive before their time, from 85 % on new starts are refused. Open runs go on at every stage.
"""

from __future__ import annotations

import logging

from luaflow.service import Service
from luaflow.store import upkeep
from luaflow.store.checks import memory_percent
from luaflow.store.keeping import keep_run
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow_scheduler.dates import Date, put_off, run_apart
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.settling import Settling

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks."""
WHILE_FULL = 2.0
"""The same while starts are refused: they are accepted again soon."""
STAGES = (70, 80, 85)
"""Per cent from which histories are packed, runs archived, starts refused."""
SLICE = 100
"""Closed runs of a partition acted on in one look."""
PINNED = 9e15


class Pressure(Service):
    """Looks at the server's memory, and makes room."""

    def __init__(
        self,
        store: Store,
        metrics: SchedulerMetrics,
        settling: Settling,
    ) -> None:
        super().__init__("pressure")
        self._store = store
        self._metrics = metrics
        self._settling = settling
        self._stage = 0
        self._full: bool | None = None

    def pause(self) -> float:
        """Seconds until the next look."""
        return WHILE_FULL if self._full else EVERY

    async def round(self) -> None:
        """Look, make room, wait."""
        await self.look()
        await self.idle(self.pause())

    async def look(self) -> int:
        """Look once; return the stage: 0 none, 1 pack, 2 archive, 3 refuse."""
        percent = await memory_percent(self._store)
        stage = sum(percent >= least for least in STAGES) if percent is not None else 0
        if stage != self._stage:
            log.log(
                logging.WARNING if stage > self._stage else logging.INFO,
                "Redis uses %s%% of its memory: %s",
                percent,
                _SAID[stage],
            )
        # (what another scheduler has told them, this one does not know at first)
        if percent is not None and (max(stage, self._stage) > 1 or self._full is None):
            await self._tell(percent)
        self._stage = stage
        self._metrics.pressure(stage)
        for p in self._store.partitions if stage else ():
            if self.stopping:
                break
            await self._make_room(p, stage)
        return stage

    async def _tell(self, percent: int) -> None:
        full = await keep_head_room(self._store, percent)
        if full and not self._full:
            log.warning("Redis uses %d%% of its memory: new starts are refused", percent)
        elif self._full and not full:
            log.info("Redis uses %d%% of its memory: new starts are accepted again", percent)
        self._full = full

    async def _make_room(self, p: Partition, stage: int) -> None:
        (flat,) = await self._store.read(("ZRANGE", p.gc, 0, 2 * SLICE - 1, "WITHSCORES"))
        dates = [
            Date(p.gc, bytes(member).decode(), bytes(score).decode())
            for member, score in zip(flat[::2], flat[1::2], strict=True)
        ]
        fresh = [d for d in dates if d.member.startswith("p|")][:SLICE]
        if left := await self._settling.settle(p, fresh):
            await put_off(self._store, p, left)
        if stage > 1 and (await self._settling.rules.settings()).archive:
            await run_apart(
                self._store,
                [
                    keep_run(partition=p, run_id=d.member, verb="settle", ms=1)
                    for d in dates
                    if not d.member.startswith("p|") and float(d.score) < PINNED
                ][:SLICE],
            )


async def keep_head_room(store: Store, percent: int) -> bool:
    """Tell the partitions how full the server is; whether they refuse new starts now."""
    calls = (upkeep.head_room(partition=p, percent=percent) for p in store.partitions)
    # a partition that is broken must not keep the others from knowing
    answers = await store.apart(*calls)
    return any(isinstance(answer, list) and answer[1] for answer in answers)


_SAID = (
    "there is room again",
    "closed histories are packed at once",
    "closed runs go to the archive before their time, where there is one",
    "closed runs go, what runs goes on",
)
