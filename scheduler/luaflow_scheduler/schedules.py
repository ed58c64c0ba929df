"""Schedules whose date has come: advanced, and their starts sent, in one step each.

Two schedulers that find the same date compute the same step; the script takes one of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import orjson

from luaflow.client.schedules import prepare_start
from luaflow.domain.ids import partition_of
from luaflow.domain.messages import parent_closed
from luaflow.domain.schedules import Ask, Start, advance, ended
from luaflow.errors import LuaflowError, Refused, Unavailable, Unknown
from luaflow.store.courier import Courier
from luaflow.store.link import Call
from luaflow.store.schedules import (
    Schedule,
    change_schedule,
    date_of,
    find_schedules,
    lost_runs,
    parent_of,
)
from luaflow.store.store import Store
from luaflow_scheduler.dates import BROKEN_MS, Date
from luaflow_scheduler.metrics import SchedulerMetrics

log = logging.getLogger(__name__)


class Schedules:
    """Turns the dates of schedules into starts."""

    def __init__(self, store: Store, courier: Courier, metrics: SchedulerMetrics) -> None:
        self._store = store
        self._courier = courier
        self._metrics = metrics

    async def fire(self, due: Sequence[Date], now: int) -> list[tuple[Date, int]]:
        """Act on dates at namespace time ``now``; return those to be put off, with ms."""
        acted = await asyncio.gather(*(self._date(date.run_id, now) for date in due))
        return [(date, BROKEN_MS) for date, done in zip(due, acted, strict=True) if not done]

    async def _date(self, name: str, now: int) -> bool:
        """Act on one date; False where that cannot be done now, which stops no other."""
        try:
            (schedule,) = await find_schedules(self._store, [name])
            if schedule is None:  # removed since the date was read, and its date with it
                return False
            await self._act(schedule, now)
        except (Unavailable, Unknown):
            raise
        except LuaflowError as error:
            log.warning("the schedule %s waits for a minute: %s", name, error)
            return False
        except Exception:
            log.exception("the schedule %s cannot be handled", name)
            return False
        return True

    async def _act(self, schedule: Schedule, now: int) -> None:
        for number, status in await lost_runs(self._store, schedule):
            ended(schedule.plan, schedule.state, number, status)
        step = advance(schedule.name, schedule.plan, schedule.state, now)
        if step.starts:
            await self._check_memory(schedule)
        starts = [self._start(schedule, start) for start in step.starts]
        messages = await asyncio.gather(*starts)
        messages += [self._ask(schedule, ask) for ask in step.asks]
        call = change_schedule(
            schedule,
            date=date_of(schedule.state, more=step.more),
            latest=step.latest,
            messages=messages,
        )
        # of a schedule that changed meanwhile the date still stands: it is read again
        if await self._made(call):
            self._metrics.scheduled(len(step.starts), step.missed)
            receivers = {receiver for receiver, _ in messages}
            self._courier.tell(schedule.partition.number, receivers)

    async def _check_memory(self, schedule: Schedule) -> None:
        """As other starts, those of schedules wait while memory is short."""
        (full,) = await self._store.read(("HGET", schedule.partition.meta, "full"))
        if full:
            raise Refused(f"Redis uses {bytes(full).decode()}% of its memory: starts wait")

    async def _made(self, call: Call) -> bool:
        return bool((await self._store.one(call))[0] == b"ok")

    async def _start(self, schedule: Schedule, start: Start) -> tuple[int, bytes]:
        request = await prepare_start(self._store, schedule.name, schedule.plan, start)
        parent = parent_of(schedule, start.number)
        ids = {"run_id": start.run_id, "first_run_id": start.run_id}
        options = request.options
        mail: dict[str, Any] = {
            "k": "start",
            "from": parent,
            "seq": start.number,
            "pid": request.pid,
            "workflow_id": start.workflow_id,
            "run_id": start.run_id,
            "type": request.deployed.type,
            "queue": request.route.queue,
            "bundle": request.deployed.bundle,
            "parent": orjson.dumps({**parent, "type": request.deployed.type}).decode(),
            # a time that was forgotten in a fail-over and comes again starts nothing again
            "reuse": "allow_duplicate" if start.manual else "reject_duplicate",
            "run_timeout": options.run_timeout_ms or 0,
            "deadline": -(options.execution_timeout_ms or 0),
            "started": orjson.loads(request.body) | ids,
        }
        return request.route.partition.number, orjson.dumps(mail)

    def _ask(self, schedule: Schedule, ask: Ask) -> tuple[int, bytes]:
        policy = "terminate" if ask.how == "terminate" else "request_cancel"
        record = {"workflow_id": ask.workflow_id, "policy": policy}
        reason = f"the schedule {schedule.name} starts its next run"
        text = parent_closed(record, schedule.state.uid, ask.number, reason)
        assert text is not None
        return partition_of(ask.workflow_id, len(self._store.partitions)), text
