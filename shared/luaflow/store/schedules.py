"""Schedules in Redis: the typed door to their scripts, and how they hear of their runs.

A schedule lives in the partition of its own id (design 4). Its runs have it for a parent: their
starts are answered to it, and their ends are told to it, through the outboxes.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from luaflow.domain.events import CHILD_EVENT
from luaflow.domain.ids import partition_of
from luaflow.domain.schedules import Plan, State, ended
from luaflow.store.delivery import Stamp
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.store import Store

AT_ONCE = -1
_STATUS = {event: status for status, event in CHILD_EVENT.items()}
_NOT_STARTED = "StartChildWorkflowExecutionFailed"


class Schedule(NamedTuple):
    """A schedule as it was read."""

    name: str
    partition: Partition
    version: str
    plan: Plan
    state: State


def home(store: Store, name: str) -> Partition:
    """The partition of a schedule."""
    return store.partitions[partition_of(name, len(store.partitions))]


def parent_of(schedule: Schedule, number: int) -> dict[str, Any]:
    """The parent of the run of an action."""
    return {
        "k": "schedule",
        "p": schedule.partition.number,
        "workflow_id": schedule.name,
        "run_id": schedule.state.uid,
        "seq": number,
        "pid": "",
    }


def read_schedule(p: Partition, name: str) -> tuple[Arg, ...]:
    """The command that reads a schedule: as many fields as one of a run, the last two nothing."""
    return ("HMGET", p.schedule(name), "v", "plan", "state", "-", "-")


def understood(p: Partition, name: str, found: Sequence[Any]) -> Schedule | None:
    """The schedule of an answer to ``read_schedule``; None where there is none."""
    version, plan, state = found[:3]
    if not version:
        return None
    version = version if isinstance(version, str) else bytes(version).decode()
    plan = Plan.from_json(orjson.loads(plan))
    return Schedule(name, p, version, plan, State.from_json(orjson.loads(state)))


async def find_schedules(store: Store, names: Sequence[str]) -> list[Schedule | None]:
    """The schedules of these ids; None where there is none."""
    places = [home(store, name) for name in names]
    commands = [read_schedule(p, name) for p, name in zip(places, names, strict=True)]
    answers = await store.read(*commands) if commands else []
    return [understood(p, n, a) for p, n, a in zip(places, names, answers, strict=True)]


async def all_schedules(store: Store) -> list[Schedule]:
    """Every schedule of the namespace, by id."""
    members = await store.read(*(("ZRANGE", p.schedules, 0, -1) for p in store.partitions))
    names = sorted(bytes(name).decode() for found in members for name in found)
    return [one for one in await find_schedules(store, names) if one]


async def lost_runs(store: Store, schedule: Schedule) -> list[tuple[int, str]]:
    """The runs that a schedule takes to be running and that are not: number and status.

    It is told of each end, but a fail-over that loses a run, or the message, must not make it wait
    for ever. While starts are on their way to a partition, nothing is said of the runs there.
    """
    p, runs = schedule.partition, schedule.state.running
    places = [store.partition(run["workflow_id"]) for run in runs]
    numbers = sorted({place.number for place in places})
    lengths = await store.read(*(("XLEN", p.outbox(n)) for n in numbers)) if numbers else []
    quiet = {number for number, length in zip(numbers, lengths, strict=True) if not length}
    asked = [(r, q) for r, q in zip(runs, places, strict=True) if q.number in quiet]
    commands = [("HGET", q.wf(run["workflow_id"]), "status") for run, q in asked]
    found = await store.read(*commands) if commands else []
    statuses = [bytes(status or b"lost").decode() for status in found]
    return [(r["number"], s) for (r, _), s in zip(asked, statuses, strict=True) if s != "running"]


def date_of(state: State, *, more: bool = False) -> int:
    """The date a state asks for, as the scripts take it."""
    return AT_ONCE if more else state.due or 0


def _dump(value: Any) -> bytes:
    return orjson.dumps(value.to_json(), option=orjson.OPT_SORT_KEYS)


def change_schedule(
    schedule: Schedule,
    *,
    date: int,
    plan: Plan | None = None,
    latest: int = 0,
    messages: Sequence[tuple[int, bytes]] = (),
) -> Call:
    """Write what a schedule has become, if it is still of the version that was read.

    ``plan`` is a new one. ``messages`` are for the partitions of runs.
    """
    p, name = schedule.partition, schedule.name
    keys = [p.meta, p.schedule(name), p.schedules, p.timers, p.leases]
    receivers = sorted({receiver for receiver, _ in messages})
    index = {receiver: len(keys) + 1 + i for i, receiver in enumerate(receivers)}
    keys += [p.outbox(receiver) for receiver in receivers]
    text = b"" if plan is None else _dump(plan)
    args: list[Arg] = [name, schedule.version, _version(), text, _dump(schedule.state)]
    args += [latest, date]
    for receiver, message in messages:
        args += [index[receiver], receiver, message]
    return Call(load("change_schedule"), keys, args)


def remove_schedule(schedule: Schedule) -> Call:
    """Remove a schedule, if it is still of the version that was read; its runs go on."""
    p, name = schedule.partition, schedule.name
    keys = [p.meta, p.schedule(name), p.schedules, p.timers, p.leases]
    return Call(load("change_schedule"), keys, [name, schedule.version, "", b"", b"", 0, 0])


def _version() -> str:
    return secrets.token_hex(8)


def tell_schedule(
    p: Partition, stamp: Stamp, mail: Mapping[str, Any], version: str, plan: str, state: str
) -> Call:
    """Tell a schedule what became of a run; the last three are what was read of it."""
    name = str(mail["workflow_id"])
    found = understood(p, name, (version, plan, state))
    fresh, text, date = "", b"", 0
    if found and found.state.uid == mail["run_id"] and _take_note(found, mail):
        waiting = bool(found.state.waiting)
        fresh, text, date = _version(), _dump(found.state), date_of(found.state, more=waiting)
    keys = [p.meta, p.schedule(name), p.timers, p.mark(stamp.sender)]
    return Call(load("deliver_to_schedule"), keys, [*stamp, name, version, fresh, text, date])


def _take_note(schedule: Schedule, mail: Mapping[str, Any]) -> bool:
    body, type_ = mail["body"], str(mail["type"])
    status = "not_started" if type_ == _NOT_STARTED else _STATUS.get(type_)
    if status is None:  # it has started, which is known
        return False
    message = str((body.get("failure") or {}).get("message", ""))
    return ended(schedule.plan, schedule.state, int(mail["seq"]), status, message)
