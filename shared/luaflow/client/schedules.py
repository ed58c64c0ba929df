"""Schedules: made, looked at and changed by clients; schedulers act on them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from luaflow.client import starting
from luaflow.client.payloads import check_size, dump
from luaflow.domain import values
from luaflow.domain.headers import linked
from luaflow.domain.schedule_words import change_plan, make_plan, overlap_of
from luaflow.domain.schedules import (
    Plan,
    Start,
    State,
    backfill,
    pass_times,
    time_text,
    trigger,
)
from luaflow.errors import AlreadyExists, InvalidArgument, LuaflowError, NotFound, Refused
from luaflow.observe.tracing import current_headers
from luaflow.store.clock import namespace_now
from luaflow.store.schedules import (
    AT_ONCE,
    Schedule,
    all_schedules,
    change_schedule,
    date_of,
    find_schedules,
    home,
    remove_schedule,
)
from luaflow.store.store import Store

TRIES: Final = 100
"""How often a change begins anew because the schedule changed meanwhile."""
SHOWN: Final = 5
"""Coming times that a description lists."""
_STATE_KEYS: Final = ("paused", "note", "limited_actions")


class ScheduleHandle:
    """A schedule by its id; ``Client.get_schedule`` makes one."""

    def __init__(self, store: Store, schedule_id: str) -> None:
        """Nothing is asked of the server yet."""
        self._store = store
        self.schedule_id = schedule_id

    def __repr__(self) -> str:
        return f"ScheduleHandle({self.schedule_id!r})"

    async def describe(self) -> dict[str, Any]:
        """What the schedule is and where it stands; NotFound when there is none.

        ``problem`` says why its workflow could not be started now.
        """
        found = await self._read()
        now = await namespace_now(self._store, found.partition)
        return description(found, SHOWN) | {"problem": await self._problem(found, now)}

    async def update(self, **words: Any) -> None:
        """Say some of it anew, as ``Client.create_schedule`` takes it; the rest stays.

        ``cron``, ``interval`` and ``calendar`` go together; ``type`` and ``args`` (a list) are what
        it starts, ``limited_actions`` how many more times. What it runs and what waits is kept.
        """
        given = {key: words.pop(key) for key in _STATE_KEYS if key in words}
        if "paused" in given:
            raise InvalidArgument("paused cannot be updated: use pause and unpause")
        fresh = change_plan(self.schedule_id, (await self._read()).plan, words)
        await check_start(self._store, self.schedule_id, fresh)

        def change(found: Schedule, now: int) -> Schedule:
            plan, state = change_plan(self.schedule_id, found.plan, words), found.state
            if "limited_actions" in given:
                state.left = _limit(given["limited_actions"])
            state.note, state.updated = given.get("note") or state.note, now
            state.aim(found.name, plan, now)
            return found._replace(plan=plan)

        await self._change(change)

    async def replace(self, plan: Plan) -> None:
        """Put another plan in the place of the one it has; where it stands is kept."""
        await check_start(self._store, self.schedule_id, plan)

        def change(found: Schedule, now: int) -> Schedule:
            found.state.updated = now
            found.state.aim(found.name, plan, now)
            return found._replace(plan=plan)

        await self._change(change)

    async def pause(self, note: str = "") -> None:
        """Stop acting on its times; those that pass meanwhile are left out for good.

        Runs go on, and what waits for one of them waits on. Triggers and backfills still work.
        """

        def change(found: Schedule, _: int) -> Schedule:
            found.state.pause(note or "paused")
            return found

        await self._change(change)

    async def unpause(self, note: str = "") -> None:
        """Act on its times again, from now on."""

        def change(found: Schedule, now: int) -> Schedule:
            if found.state.paused:
                found.state.paused = False
                found.state.aim(found.name, found.plan, now)
            found.state.note = note
            return found

        await self._change(change)

    async def trigger(self, overlap: str | None = None) -> None:
        """Act once, now, whatever its times say, also while it is paused."""
        word = overlap_of(overlap) if overlap else ""

        def change(found: Schedule, now: int) -> Schedule:
            # (the request remembered last is this one)
            trigger(found.plan, found.state, now, word, found.state.asked[-1])
            return found

        await self._change(change)

    async def backfill(
        self, start: datetime | str, end: datetime | str, overlap: str | None = None
    ) -> int:
        """Act on its times from ``start`` to ``end``, both in the past; return how many.

        Without ``overlap`` they go by the schedule's own policy: under ``skip`` only the first
        starts while that runs, so ``allow_all`` or ``buffer_all`` is mostly meant. At most 500
        times may wait; Refused beyond.
        """
        word, times = overlap_of(overlap) if overlap else "", [0]
        first, last = _ms(start, "start"), _ms(end, "end")

        def change(found: Schedule, now: int) -> Schedule:
            asked = found.state.asked[-1]
            times[0] = backfill(found.plan, found.state, now, first, last, word, asked)
            return found

        await self._change(change)
        return times[0]

    async def delete(self) -> None:
        """Remove the schedule; runs it started go on."""
        for _ in range(TRIES):
            found = await self._read()
            if (await self._store.one(remove_schedule(found)))[0] == b"ok":
                return
        raise self._busy()

    async def _read(self) -> Schedule:
        (found,) = await find_schedules(self._store, [self.schedule_id])
        if found is None:
            raise NotFound(
                f"there is no schedule {self.schedule_id!r} in '{self._store.namespace}':"
                " 'luaflow schedule list' shows those there are"
            )
        return found

    async def _change(self, change: Callable[[Schedule, int], Schedule]) -> None:
        """Make a change of what is there; once, however often its answer is lost."""
        request = uuid.uuid4().hex
        for _ in range(TRIES):
            found = await self._read()
            if not found.state.remember(request):
                return
            old = found.plan
            now = await namespace_now(self._store, found.partition)
            # what was due before is not touched by what comes now
            latest = pass_times(found.name, found.plan, found.state, now)
            found = change(found, now)
            check_size(dump(found.plan.to_json()), self._store.settings, f"schedule {found.name!r}")
            waits = bool(found.state.waiting)
            call = change_schedule(
                found,
                plan=None if found.plan == old else found.plan,
                date=date_of(found.state, more=waits),
                latest=latest,
            )
            if (await self._store.one(call))[0] == b"ok":
                return
        raise self._busy()

    def _busy(self) -> Refused:
        return Refused(f"the schedule {self.schedule_id!r} changes all the time: try again")

    async def _problem(self, found: Schedule, now: int) -> str | None:
        start = Start(0, now, f"{found.plan.workflow_id or found.name}-{time_text(now)}", "", False)
        try:
            await prepare_start(self._store, found.name, found.plan, start)
        except LuaflowError as error:
            return str(error)
        return None


async def create_schedule(
    store: Store, schedule_id: str, plan: Plan, words: Mapping[str, Any], *, at_once: bool = False
) -> ScheduleHandle:
    """Store a new schedule; AlreadyExists when there is one of that id.

    ``words`` are paused, note and limited_actions; ``at_once`` triggers it.
    """
    p = home(store, schedule_id)
    await check_start(store, schedule_id, plan)
    if headers := current_headers():
        plan = replace(plan, headers=linked(headers))
    now = await namespace_now(store, p)
    state = State(uid=uuid.uuid4().hex, created=now, updated=now)
    state.paused = bool(words.get("paused"))
    state.note = str(words.get("note") or "")
    state.left = _limit(words.get("limited_actions"))
    state.aim(schedule_id, plan, now)
    if at_once:
        trigger(plan, state, now, "", state.uid)
    check_size(dump(plan.to_json()), store.settings, f"schedule {schedule_id!r}")
    fresh = Schedule(schedule_id, p, "", plan, state)
    call = change_schedule(fresh, plan=plan, date=AT_ONCE if at_once else date_of(state))
    if (await store.one(call))[0] != b"ok":
        raise AlreadyExists(
            f"there is a schedule {schedule_id!r} already: update or delete it, or use another id"
        )
    return ScheduleHandle(store, schedule_id)


def plan_of(schedule_id: str, type: str, args: tuple[Any, ...], words: dict[str, Any]) -> Plan:
    """The plan that the arguments of ``Client.create_schedule`` say; takes its words out."""
    plan_words = {key: words.pop(key) for key in list(words) if key not in _STATE_KEYS}
    return make_plan(schedule_id, type, args, plan_words)


async def check_start(store: Store, schedule_id: str, plan: Plan) -> None:
    """Refuse a schedule whose workflow could not be started: unknown, or with such an input."""
    workflow_id = f"{plan.workflow_id or schedule_id}-{time_text(1)}"
    await prepare_start(store, schedule_id, plan, Start(0, 0, workflow_id, "", False))


async def prepare_start(store: Store, name: str, plan: Plan, start: Start) -> starting.Request:
    """Check a start of a schedule and write its first event; see ``starting.prepare``."""
    options = dict(values.decode(plan.options))
    origin = {"scheduled_by": name, "scheduled_at": time_text(start.at)}
    read = starting.How(options=options).read()
    how = starting.How(
        id=start.workflow_id,
        options=options,
        search_attributes={**read.search_attributes, **origin},
        context=origin,
        headers=dict(plan.headers) or None,
    )
    return await starting.prepare(store, plan.type, [values.decode(x) for x in plan.input], how)


async def list_schedules(store: Store) -> list[dict[str, Any]]:
    """The descriptions of all schedules, by id, each with its next time alone."""
    return [description(one, 1) for one in await all_schedules(store)]


def description(found: Schedule, times: int) -> dict[str, Any]:
    """What people and programs are told of a schedule."""
    plan, state = found.plan, found.state
    return {
        "schedule_id": found.name,
        "workflow": {
            "type": plan.type,
            "input": plan.input,
            "workflow_id": plan.workflow_id or found.name,
            "options": plan.options,
        },
        "spec": plan.spec,
        "overlap": plan.overlap,
        "catchup_window_ms": plan.catchup_ms,
        "pause_on_failure": plan.pause_on_failure,
        "paused": state.paused,
        "note": state.note,
        "remaining_actions": state.left,
        "next_times": _coming(plan, state, times),
        "running": [{k: run[k] for k in ("workflow_id", "run_id")} for run in state.running],
        "waiting": len(state.waiting),
        "recent_actions": state.recent[::-1],
        "actions": state.actions,
        "missed": state.missed,
        "skipped": state.skipped,
        "dropped": state.dropped,
        "create_time": time_text(state.created),
        "update_time": time_text(state.updated),
        "memo": plan.memo,
        "owner": plan.owner or None,
    }


def _coming(plan: Plan, state: State, times: int) -> list[str]:
    found: list[str] = []
    at = state.next
    most = times if state.left is None else min(times, state.left)
    while at is not None and len(found) < most:
        found.append(time_text(at))
        at = plan.when.after(at)
    return found


def _limit(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"limited_actions must be a whole number, got {value!r}")
    return value or None


def _ms(value: datetime | str, key: str) -> int:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return int(at.timestamp() * 1000)
    except (ValueError, TypeError, AttributeError):
        raise InvalidArgument(
            f"{key} must be a time such as 2030-01-31T09:00:00Z, got {value!r}"
        ) from None
