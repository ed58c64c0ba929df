"""The watch over one partition: ask what is due, do it, sleep until the next date or the bell."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from luaflow.observe.logs import run_fields
from luaflow.service import Service
from luaflow.store import delivery, transitions
from luaflow.store.courier import Courier
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow_scheduler.closing import close_out
from luaflow_scheduler.continuing import carry_over
from luaflow_scheduler.dates import (
    BROKEN_MS,
    SOON_MS,
    Date,
    State,
    Step,
    Work,
    dates,
    put_off,
    read_states,
    take_steps,
    together_or_alone,
)
from luaflow_scheduler.expiring import Expiring
from luaflow_scheduler.firing import Firing
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.removing import remove
from luaflow_scheduler.schedules import Schedules
from luaflow_scheduler.settling import Settling

log = logging.getLogger(__name__)

SLICE = 200
"""Dates of each set taken in one round: partitions share the server fairly."""
LATEST_MS = 5_000
"""A watch is back by then whatever happens: the promise that lets others not ring the bell."""


class PartitionWatch(Service):
    """Does what is due in one partition; any number of watches may do so at once.

    Every transition names what it was based on, so of two watches one finds that it is done.
    """

    def __init__(
        self,
        store: Store,
        partition: Partition,
        courier: Courier,
        metrics: SchedulerMetrics,
        settling: Settling,
    ) -> None:
        super().__init__(f"partition-{partition.number}")
        self._store = store
        self._partition = partition
        self._courier = courier
        self._metrics = metrics
        self._firing = Firing(courier, metrics)
        self._expiring = Expiring(metrics)
        self._schedules = Schedules(store, courier, metrics)
        self._settling = settling

    async def open(self) -> None:
        """Listen to the bell before the first look: nothing rung from now on is missed."""
        await self._store.push.add(self._partition.bell(), self._rung)

    async def close(self) -> None:
        """Listen no more."""
        self._store.push.remove(self._partition.bell(), self._rung)
        self._metrics.forget(self._partition.number)

    async def round(self) -> None:
        """Do a slice of what is due; with nothing due, sleep until there is."""
        pause = await self.look()
        if pause:
            await self.idle(pause)

    async def look(self) -> float:
        """Do a slice of what is due; return the seconds to sleep, 0 when there may be more."""
        p = self._partition
        server_now, now, timers, leases, old, wake = await self._store.one(
            transitions.due(partition=p, limit=SLICE, latest=LATEST_MS)
        )
        found = dates(p.timers, timers), dates(p.leases, leases), dates(p.gc, old)
        self._metrics.due(p.number, *map(len, found))
        if not any(found):
            return max(1, int(wake) - int(server_now)) / 1000
        await self._work(*found, now=int(now))
        return 0

    async def _work(
        self, timers: Sequence[Date], leases: Sequence[Date], old: Sequence[Date], *, now: int
    ) -> None:
        store, p = self._store, self._partition
        await self._relay([d for d in leases if d.kind == "o"])
        of_runs = [
            *(d for d in timers if d.kind != "S"),
            *(d for d in leases if d.kind not in "onz"),
        ]
        left = await self._transitions(of_runs, now)
        left += await self._schedules.fire([d for d in timers if d.kind == "S"], now)
        kinds: list[tuple[Work, list[Date]]] = [
            (lambda due: carry_over(store, p, due), [d for d in leases if d.kind == "n"]),
            (
                lambda due: close_out(store, p, due, self._courier),
                [d for d in leases if d.kind == "z"],
            ),
            (
                lambda due: self._settling.settle(p, due),
                [d for d in old if d.member.startswith("p|")],
            ),
            (
                lambda due: remove(store, p, due, self._metrics, self._settling.rules),
                [d for d in old if not d.member.startswith("p|")],
            ),
        ]
        for work, due in kinds:
            left += await together_or_alone(work, due)
        if left:
            await put_off(store, p, left)

    async def _relay(self, outboxes: Sequence[Date]) -> None:
        """Claim outboxes for a second and have them carried; timers do not wait for that."""
        p, receivers = self._partition, [int(d.run_id) for d in outboxes]
        await self._store.run(
            *(delivery.forget_messages(partition=p, receiver=n, delivered=()) for n in receivers)
        )
        self._courier.tell(p.number, receivers)

    async def _transitions(self, due: Sequence[Date], now: int) -> list[tuple[Date, int]]:
        steps, left = [], []
        states = await read_states(self._store, self._partition, due)
        for date, state in zip(due, states, strict=True):
            try:
                step = self._step(date, state, now)
            except Exception:
                # one record that cannot be understood must not keep the others waiting
                text, extra = "the date %s cannot be handled", run_fields(date.run_id)
                log.exception(text, date.member, extra=extra)
                left.append((date, BROKEN_MS))
                continue
            if step is None:
                left.append((date, SOON_MS))
            else:
                steps.append(step)
        return left + await take_steps(self._store, steps)

    def _step(self, date: Date, state: State | Exception | None, now: int) -> Step | None:
        if isinstance(state, Exception):
            raise state
        if state is None:
            return None
        if date.set_key == self._partition.timers:
            return self._firing.step(date, state, now)
        return self._expiring.step(date, state)

    def _rung(self, _: bytes | None) -> None:
        self.wake()
