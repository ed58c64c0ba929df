"""Looking at runs: descriptions. Reads only; a run may change while it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from luaflow.archive import Archived
from luaflow.client.damage import reading
from luaflow.client.health import add_parked, health_of
from luaflow.client.locks import add_locks, wants_of
from luaflow.domain.chains import first_task_at
from luaflow.domain.ids import Pid
from luaflow.domain.lanes import base_of
from luaflow.store.attempts import Record, parse_record
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, table
from luaflow.store.past import event_of, first_events
from luaflow.store.store import Store

SHOWN_ACTIVITIES = 100
"""Pending activities a description lists at most."""
_STATES = {
    "q": "scheduled",
    "r": "started",
    "b": "backing_off",
    "x": "cancel_requested",
    "c": "cancel_requested",
}
_STARTED_WITH = (
    "summary",
    "details",
    "priority",
    "cron_schedule",
    "retry_policy",
    "continued_from",
    "continued_failure",
    "versioning",
)
"""What a description says of the first event, where that has it."""
_FIELDS = (
    *("wid", "type", "status", "queue", "bundle", "start", "close", "len", "size", "attempt"),
    *("parent", "memo", "attrs", "stuck", "fails", "lost", "decided", "task", "pin"),
)
"""What a description takes from the state of a run: not its updates, which may be many."""


async def describe(
    store: Store, runs: Sequence[tuple[Partition, str]]
) -> list[dict[str, Any] | None]:
    """The descriptions of runs, each in the shape of design 10; None for one that is gone."""
    commands: list[tuple[Arg, ...]] = []
    for p, run_id in runs:
        commands += [
            ("HMGET", p.run(run_id), *_FIELDS),
            ("HGETALL", p.pend(run_id)),
            ("XRANGE", p.hist(run_id), "1-0", "1-0"),
        ]
    answers = await store.read(*commands) if commands else []
    found: list[dict[str, Any] | None] = []
    pending, locked = [], []
    firsts = await first_events(store, runs, answers[2::3])
    for (p, run_id), state, pend, first in zip(
        runs, answers[::3], answers[1::3], firsts, strict=True
    ):
        if state[0] is None or first is None:
            found.append(None)
            continue
        known = {name: bytes(f) for name, f in zip(_FIELDS, state, strict=True) if f is not None}
        with reading(f"the run {run_id}"):
            run = _description(run_id, known, first.body)
            found.append(run)
            if run["status"] == "running":
                pending.append((run, p, table(pend)))
                locked += wants_of(run, p, pending[-1][2])
    await _add_activities(store, pending)
    for run, *_ in pending:
        with reading(f"the run {run['run_id']}"):
            add_parked(run)
    await add_locks(store, locked)
    return found


def describe_archived(run: Archived) -> dict[str, Any]:
    """The description of a run that has left the server."""
    state = {name: text.encode(errors="surrogateescape") for name, text in run.state.items()}
    found = _description(run.run_id, state, run.events[0].body) | {"archived": True}
    views = {name[2:]: orjson.loads(text) for name, text in state.items() if name[:2] == "v:"}
    return found | ({"views": views} if views else {})


def _description(run_id: str, state: dict[str, bytes], first: dict[str, Any]) -> dict[str, Any]:
    parent = orjson.loads(state["parent"]) if state.get("parent") else None
    workflow_id = state["wid"].decode()
    return {
        "workflow_id": workflow_id,
        "run_id": run_id,
        "pid": str(Pid(first.get("client", ""), first.get("host", ""), workflow_id)),
        "type": state["type"].decode(),
        "status": state["status"].decode(),
        "task_queue": base_of(state["queue"].decode()),
        "bundle": state.get("bundle", b"").decode(),
        "start_time": rfc3339(state["start"]),
        "close_time": rfc3339(state["close"]) if "close" in state else None,
        "history_length": int(state["len"]),
        "history_size": int(state["size"]),
        "attempt": int(state.get("attempt", b"1")),
        # (a run that a schedule started has a parent that is no run)
        "parent": {k: parent[k] for k in ("workflow_id", "run_id")}
        if parent and "k" not in parent
        else None,
        "memo": first.get("memo", {}) | orjson.loads(state.get("memo") or b"{}"),
        "search_attributes": first.get("search_attributes", {})
        | orjson.loads(state.get("attrs") or b"{}"),
        **{key: first[key] for key in _STARTED_WITH if key in first},
        **({"pinned": True} if "pin" in state else {}),
        **_waits(state, first),
        "pending_activities": [],
        "locks": [],
        "health": health_of(state),
    }


def _waits(state: dict[str, bytes], first: dict[str, Any]) -> dict[str, str]:
    """When the first task is due, of a run that waits for that."""
    waiting = state["status"] == b"running" and state.get("decided") == b"0"
    if not waiting or state.get("task") not in {b"delayed", b"backoff"} or state.get("fails"):
        return {}
    return {"first_task_time": rfc3339(first_task_at(first, int(state["start"])))}


async def _add_activities(
    store: Store, runs: Iterable[tuple[dict[str, Any], Partition, dict[str, bytes]]]
) -> None:
    wanted = []
    for run, p, pend in runs:
        with reading(f"the run {run['run_id']}"):
            numbers = sorted(int(field[2:]) for field in pend if field.startswith("a:"))
            for seq in numbers[:SHOWN_ACTIVITIES]:
                record = parse_record(pend[f"a:{seq}"])
                wanted.append((run, p.hist(run["run_id"]), seq, record, pend))
    commands: list[tuple[Arg, ...]] = [
        ("XRANGE", hist, f"{record.event}-0", f"{record.event}-0")
        for _, hist, _, record, _ in wanted
    ]
    answers = await store.read(*commands) if commands else []
    for (run, _, seq, record, pend), entries in zip(wanted, answers, strict=True):
        with reading(f"the run {run['run_id']}"):
            name = event_of(entries[0]).body["activity"] if entries else ""
            run["pending_activities"].append(_activity(seq, name, record, pend))


def _activity(seq: int, name: str, record: Record, pend: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "seq": seq,
        "activity": name,
        "state": _STATES[record.state],
        "attempt": record.attempt,
        "scheduled_time": rfc3339(record.scheduled),
    }
    if record.state == "b" and is_put_off(record, pend.get(f"p:{seq}")):
        found["state"] = "rate_limited"
    if record.state in {"r", "c"}:
        found |= {"worker": record.worker, "started_time": rfc3339(record.started)}
    if record.deferred:
        found |= {"worker": None, "deferred": True}
    if failure := pend.get(f"f:{seq}"):
        found["last_failure"] = orjson.loads(failure)
    if details := pend.get(f"h:{seq}"):
        found["heartbeat_details"] = orjson.loads(details)
    return found


def is_put_off(record: Record, moment: bytes | None) -> bool:
    """Whether it waits for its rate limit; ``moment``: ``attempt|time``."""
    return moment is not None and int(moment.partition(b"|")[0]) == record.attempt


def rfc3339(ms: int | bytes) -> str:
    """A time in milliseconds as RFC 3339 text in UTC."""
    at = datetime.fromtimestamp(int(ms) / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
