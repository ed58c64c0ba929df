"""A schedule as a value: what it starts, where it stands, and what each moment makes of it.

Everything is decided here from values alone; whoever writes the outcome names the version that it
was based on, so of two that decide the same one writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, NamedTuple

from luaflow.domain.schedule_specs import Spec, parse_spec
from luaflow.errors import InvalidArgument, Refused

OVERLAPS: Final = (
    *("skip", "buffer_one", "buffer_all"),
    *("cancel_other", "terminate_other", "allow_all"),
)
CATCHUP_MS: Final = 365 * 24 * 3600 * 1000
"""How late a time may be acted on, unless the schedule says otherwise: a year, as with Temporal."""
LEAST_CATCHUP_MS: Final = 10_000
SLICE: Final = 100
"""Times looked at, and runs started, in one step."""
MOST_WAITING: Final = 500
MOST_RUNNING: Final = 500
RECENT: Final = 10
"""Actions that a description lists."""
_ASKED: Final = 20
"""Requests of clients that are remembered, so that a repeat is recognised."""
_COUNTED: Final = 1000
"""Missed times counted one by one; a longer outage is skipped at once."""
_ASK: Final = {"cancel_other": "cancel", "terminate_other": "terminate"}
_FAILED: Final = ("failed", "timed_out")


@dataclass(frozen=True)
class Plan:
    """What a schedule starts, and when: its definition, as JSON has it.

    ``options`` are start options; ``workflow_id`` is what the ids of its runs begin with, the
    schedule's own id without. ``owner`` is the registry namespace that deployed it, '' for none;
    ``headers`` is the trace that its runs link to.
    """

    type: str
    spec: Mapping[str, Any]
    input: list[Any] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)
    workflow_id: str = ""
    overlap: str = "skip"
    catchup_ms: int = CATCHUP_MS
    pause_on_failure: bool = False
    memo: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def when(self) -> Spec:
        """The spec, read; Invalid for one that cannot be."""
        return parse_spec(self.spec)

    def to_json(self) -> dict[str, Any]:
        """The plan as a plain object."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return found if self.headers else {k: v for k, v in found.items() if k != "headers"}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Plan:
        """Read what ``to_json`` wrote; fields of newer releases are left out."""
        return cls(**{key: value for key, value in found.items() if key in cls.__annotations__})


@dataclass
class State:
    """Where a schedule stands; all times in ms of namespace time.

    ``next`` is its next time and ``due`` the moment it is acted on. ``waiting`` are times not acted
    on yet: ``[time, overlap, request]``, the request '' where the spec says so. ``left`` is how
    many more times it acts, None for no limit.
    """

    uid: str
    created: int
    updated: int
    paused: bool = False
    note: str = ""
    left: int | None = None
    next: int | None = None
    due: int | None = None
    waiting: list[list[Any]] = field(default_factory=list)
    running: list[dict[str, Any]] = field(default_factory=list)
    recent: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    actions: int = 0
    missed: int = 0
    skipped: int = 0
    dropped: int = 0
    triggered: int = 0

    def to_json(self) -> dict[str, Any]:
        """The state as a plain object."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> State:
        """Read what ``to_json`` wrote; fields of newer releases are left out."""
        return cls(**{key: value for key, value in found.items() if key in cls.__annotations__})

    def aim(self, name: str, plan: Plan, after: int) -> None:
        """Set the next time to the first one after ``after``; none while paused, or at the end."""
        idle = self.paused or self.left == 0
        self.next = None if idle else plan.when.after(after)
        self.due = None if self.next is None else plan.when.due(name, self.next)

    def pause(self, note: str) -> None:
        """Stop acting on times of the spec; what waits goes on waiting."""
        self.paused, self.note, self.next, self.due = True, note, None, None

    def remember(self, request: str) -> bool:
        """Note a request; False for one that was carried out before."""
        if request in self.asked:
            return False
        self.asked = [*self.asked, request][-_ASKED:]
        return True


class Start(NamedTuple):
    """A run to be started; ``number`` is that of the action, ``manual`` somebody asked for it."""

    number: int
    at: int
    workflow_id: str
    run_id: str
    manual: bool


class Ask(NamedTuple):
    """A run that is asked to end: ``how`` is cancel or terminate."""

    number: int
    workflow_id: str
    how: str


class Step(NamedTuple):
    """What a moment makes of a schedule, whose state has been changed.

    ``latest`` is the latest time acted on, 0 for none; ``more``: there is more to do at once.
    """

    starts: list[Start]
    asks: list[Ask]
    latest: int
    missed: int
    more: bool


def time_text(ms: int) -> str:
    """A time as it stands in workflow ids: RFC 3339 in UTC, with milliseconds where it has some."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    text = at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.replace("+00:00", "Z")


def advance(name: str, plan: Plan, state: State, now: int) -> Step:
    """Act on what is due at ``now``: pass the times, start what may be started."""
    missed = state.missed
    latest = pass_times(name, plan, state, now)
    starts, asks = _Judge(name, plan, state, now).judge()
    if state.left == 0:
        state.next = state.due = None
    more = len(starts) == SLICE or (state.due is not None and state.due <= now)
    return Step(starts, asks, latest, state.missed - missed, more)


def pass_times(name: str, plan: Plan, state: State, now: int) -> int:
    """Let the times that are due wait for their turn, some at a time; return the latest of them.

    A time that is later than the catch-up window has been missed.
    """
    oldest, latest, passed = now - plan.catchup_ms, 0, 0
    for _ in range(_COUNTED):
        if state.next is None or state.due is None or state.due >= oldest:
            break
        state.missed, latest = state.missed + 1, state.due
        state.aim(name, plan, state.next)
    else:
        state.aim(name, plan, oldest - plan.when.jitter_ms - 1)
    while state.next is not None and state.due is not None and state.due <= now:
        if passed == SLICE:
            break
        passed, latest = passed + 1, state.due
        if state.due < oldest:
            state.missed += 1
        elif len(state.waiting) >= MOST_WAITING:
            state.dropped += 1
        else:
            state.waiting.append([state.next, plan.overlap, ""])
        state.aim(name, plan, state.next)
    return latest


class _Judge:
    """Goes through what waits, in order, as the overlap policies say."""

    def __init__(self, name: str, plan: Plan, state: State, now: int) -> None:
        self._base = plan.workflow_id or name
        self._state = state
        self._now = now
        self._starts: list[Start] = []
        self._asks: list[Ask] = []
        self._kept: list[list[Any]] = []

    def judge(self) -> tuple[list[Start], list[Ask]]:
        for one in self._state.waiting:
            self._one(one)
        self._state.waiting = self._kept
        return self._starts, self._asks

    def _one(self, one: list[Any]) -> None:
        state, (at, overlap, request) = self._state, one
        if not request and state.left == 0:
            state.skipped += 1
        elif len(self._starts) == SLICE or (state.paused and not request):
            self._kept.append(one)
        elif not state.running or overlap == "allow_all":
            if len(state.running) >= MOST_RUNNING:
                state.dropped += 1
            else:
                self._start(at, request)
        elif overlap == "skip" or (overlap == "buffer_one" and self._kept):
            state.skipped += 1
        else:
            if overlap in _ASK:
                state.skipped += len(self._kept)
                self._kept = []
                self._ask(_ASK[overlap])
            self._kept.append(one)

    def _start(self, at: int, request: str) -> None:
        state = self._state
        state.actions += 1
        if state.left and not request:
            state.left -= 1
        workflow_id = f"{self._base}-{time_text(at)}"
        digest = hashlib.sha256(f"{state.uid}\0{workflow_id}\0{request}".encode())
        start = Start(state.actions, at, workflow_id, digest.hexdigest()[:32], bool(request))
        self._starts.append(start)
        run = {"number": start.number, "workflow_id": workflow_id, "run_id": start.run_id}
        state.running.append({**run, "asked": ""})
        times = {"scheduled_at": time_text(at), "started_at": time_text(self._now)}
        entry = {**times, **run, "manual": start.manual, "status": "running"}
        state.recent = [*state.recent, entry][-RECENT:]

    def _ask(self, how: str) -> None:
        for run in self._state.running:
            if run["asked"] not in (how, "terminate"):
                run["asked"] = how
                self._asks.append(Ask(run["number"], run["workflow_id"], how))


def ended(plan: Plan, state: State, number: int, status: str, message: str = "") -> bool:
    """Take note of the end of a run, or of a start that could not be; whether that changed it."""
    found = next((run for run in state.running if run["number"] == number), None)
    if found is None:
        return False
    state.running.remove(found)
    for entry in state.recent:
        if entry["number"] == number:
            entry["status"] = status
            if message:
                entry["message"] = message[:500]
    if plan.pause_on_failure and status in _FAILED and not state.paused:
        state.pause(f"{found['workflow_id']} {status.replace('_', ' ')}: {message}"[:500])
    return True


def trigger(plan: Plan, state: State, now: int, overlap: str, request: str) -> None:
    """Act once, now, whatever the spec says, also while paused."""
    _room(state, 1)
    state.triggered = max(now, state.triggered + 1)
    state.waiting.append([state.triggered, overlap or plan.overlap, request])


def backfill(
    plan: Plan, state: State, now: int, start: int, end: int, overlap: str, request: str
) -> int:
    """Act on the times of the spec from ``start`` to ``end``, which have passed; how many."""
    if not start <= end <= now:
        raise InvalidArgument(
            f"a backfill goes from a time to a later one that has passed, not from"
            f" {time_text(start)} to {time_text(end)}"
        )
    times: list[int] = []
    at = plan.when.after(start - 1)
    while at is not None and at <= end:
        times.append(at)
        _room(state, len(times))
        at = plan.when.after(at)
    state.waiting += [[one, overlap or plan.overlap, f"{request}.{one}"] for one in times]
    return len(times)


def _room(state: State, wanted: int) -> None:
    if len(state.waiting) + wanted > MOST_WAITING:
        raise Refused(
            f"{MOST_WAITING} times of a schedule may wait, {len(state.waiting)} do: ask for a"
            " shorter time, or wait until its runs have ended"
        )
