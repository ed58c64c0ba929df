"""What must be true of a namespace at any moment between two scripts (design 3, 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from tests.protocol.job_invariants import job_problems
from tests.support.keys import keys_like

from luaflow.domain.events import CLOSING, NEWS, STARTED, Event
from luaflow.store.attempts import parse_record
from luaflow.store.keys import JOB, Partition
from luaflow.store.past import event_of, packed
from luaflow.store.store import Store


@dataclass
class RunState:
    """A run as the server has it."""

    run_id: str
    fields: dict[str, str]
    events: list[Event]
    pend: dict[str, bytes]

    @property
    def open(self) -> bool:
        """Whether it runs."""
        return self.fields["status"] == "running"


@dataclass
class PartitionState:
    """Everything of a partition that the checks look at."""

    runs: dict[str, RunState]
    meta: dict[str, str]
    timers: dict[str, float]
    leases: dict[str, float]
    gc: dict[str, float]
    vis: set[str]
    workflows: dict[str, dict[str, str]]
    streams: dict[str, list[tuple[str, dict[str, str]]]]
    jobs: list[str]
    locks: dict[str, set[str]]


async def problems_of(store: Store, *, rest: bool = False) -> list[str]:
    """Every breach of an invariant, in words; ``rest``: nothing is under way any more."""
    found = []
    states = [await read_partition(store, p) for p in store.partitions]
    for p, state in zip(store.partitions, states, strict=True):
        dates = [*state.timers, *state.leases]
        found += [
            f"partition {p.number}: {x}" for x in await job_problems(store, p, state.jobs, dates)
        ]
        for run in state.runs.values():
            found += [f"run {run.run_id}: {x}" for x in _of_run(p, state, run)]
            found += [f"run {run.run_id}: {x}" for x in _of_task(p, state, run)]
            if rest and not run.open and run.pend:
                found.append(f"run {run.run_id}: closed, but waits for {sorted(run.pend)}")
        found += [f"partition {p.number}: {x}" for x in _of_dates(state)]
        found += [f"partition {p.number}: {x}" for x in _of_index(p, state)]
        found += [f"partition {p.number}: {x}" for x in _of_outboxes(p, state, rest=rest)]
    if rest:
        found += _of_locks(states)
    return found


async def read_partition(store: Store, p: Partition) -> PartitionState:
    """Read a partition; only for namespaces of a few runs."""
    names = await _names(store, p)
    runs = {n: await _read_run(store, p, n) for n in names.get("run", ())}
    streams = {}
    for family in ("tq", "sticky", "outbox"):
        for rest in names.get(family, ()):
            (entries,) = await store.read(("XRANGE", f"{p.prefix}{family}:{rest}", "-", "+"))
            streams[f"{family}:{rest}"] = [(bytes(i).decode(), _pairs(f)) for i, f in entries]
    (vis,) = await store.read(("ZRANGE", p.vis, 0, -1))
    return PartitionState(
        runs,
        await _hash(store, p.meta),
        await _scores(store, p.timers),
        await _scores(store, p.leases),
        await _scores(store, p.gc),
        {bytes(m).decode() for m in vis},
        {w: await _hash(store, p.wf(w)) for w in names.get("wf", ())},
        streams,
        names.get("job", []),
        {
            f"{family}:{key}": set(await _scores(store, f"{p.prefix}{family}:{key}"))
            for family in ("held", "line")
            for key in names.get(family, ())
        },
    )


async def _names(store: Store, p: Partition) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for key in await keys_like(store, f"{p.prefix}*"):
        family, _, rest = key.removeprefix(p.prefix).partition(":")
        names.setdefault(family, []).append(rest)
    return names


async def _read_run(store: Store, p: Partition, run_id: str) -> RunState:
    (entries,) = await store.read(("XRANGE", p.hist(run_id), "-", "+"))
    events = [event_of(entry) for entry in entries]
    if not events:
        (events,) = await packed(store, [(p, run_id)])
    (flat,) = await store.read(("HGETALL", p.pend(run_id)))
    pend = {bytes(k).decode(): bytes(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}
    return RunState(run_id, await _hash(store, p.run(run_id)), events, pend)


async def _hash(store: Store, key: str) -> dict[str, str]:
    (flat,) = await store.read(("HGETALL", key))
    return _pairs(flat)


async def _scores(store: Store, key: str) -> dict[str, float]:
    (flat,) = await store.read(("ZRANGE", key, 0, -1, "WITHSCORES"))
    return {k: float(v) for k, v in _pairs(flat).items()}


def _pairs(flat: Any) -> dict[str, str]:
    texts = [bytes(x).decode(errors="replace") for x in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _of_locks(states: list[PartitionState]) -> Iterator[str]:
    """Whoever has a lock, or waits for it, is an open run that will give it back."""
    wants = {
        record.get("member") or f"{number}|{run.run_id}|{field[2:]}"
        for number, state in enumerate(states)
        for run in state.runs.values()
        for field, value in run.pend.items()
        if run.open and field[:2] == "c:" and (record := orjson.loads(value))["kind"] == "lock"
    }
    for number, state in enumerate(states):
        for key, members in state.locks.items():
            for member in members - wants:
                yield f"partition {number}: {key} is with {member}, who does not know"


def _of_run(p: Partition, state: PartitionState, run: RunState) -> Iterator[str]:
    f, events = run.fields, run.events
    ids = [e.id for e in events]
    if ids != list(range(1, len(ids) + 1)):
        yield f"its event ids are {ids}"
    if int(f["len"]) != len(events):
        yield f"len is {f['len']}, there are {len(events)} events"
    if int(f["size"]) != sum(len(e.raw) for e in events):
        yield f"size is {f['size']}, bodies have {sum(len(e.raw) for e in events)} bytes"
    stamps = [e.ts for e in events]
    if stamps != sorted(stamps):
        yield f"time goes back: {stamps}"
    if [e.id for e in events if e.type == STARTED] != [1]:
        yield "it did not start exactly once"
    yield from _of_end(state, run)
    yield from _of_workflow_id(state, run)


def _of_end(state: PartitionState, run: RunState) -> Iterator[str]:
    """A closed run has one closing event, the last, and an end of its own; an open one has none."""
    f, events = run.fields, run.events
    closings = [e for e in events if e.type in CLOSING]
    if run.open and closings:
        yield f"it is open after {closings[0].type}"
    if not run.open:
        if len(closings) != 1 or events[-1] is not closings[0]:
            yield f"it closed at {[e.id for e in closings]} of {len(events)} events"
        elif CLOSING[closings[0].type] != f["status"]:
            yield f"its status is {f['status']}, its end {closings[0].type}"
        if run.run_id not in state.gc:
            yield "it is closed and will never be removed"
        if run.pend and f"z|{run.run_id}" not in state.leases:
            yield f"it is closed, waits for {sorted(run.pend)} and nobody closes it out"


def _of_workflow_id(state: PartitionState, run: RunState) -> Iterator[str]:
    """The workflow id says of its current run what the run says."""
    f = run.fields
    current = state.workflows.get(f["wid"])
    if current is None:
        yield f"its workflow id {f['wid']} is not known"
    elif current["run"] == run.run_id and current["status"] != f["status"]:
        yield f"its workflow id says {current['status']}, the run {f['status']}"
    elif run.open and current["run"] != run.run_id:
        yield f"it is open, but its workflow id is at {current['run']}"
    elif run.open and current["sticky"] != f["sticky"]:
        yield f"its workflow id is sticky to {current['sticky']!r}, the run to {f['sticky']!r}"


def _of_task(p: Partition, state: PartitionState, run: RunState) -> Iterator[str]:
    """An open run has a task exactly when there is something to decide."""
    f = run.fields
    if not run.open:
        if f.get("task"):
            yield f"it is closed and has a task ({f['task']})"
        return
    decided = int(f["decided"])
    undecided = [e for e in run.events if e.id > decided and (e.type in NEWS or e.type == STARTED)]
    if int(f["news"]) != len(undecided):
        yield f"news is {f['news']}, undecided are {undecided}"
    task, entry = f["task"], f["entry"]
    if undecided and not task:
        yield f"nobody has a task for {undecided}"
    where = {"queued": f"tq:{f['queue']}:wf", "sticky": f"sticky:{f['sticky']}"}.get(task)
    if where:
        fields = dict(state.streams.get(where, ())).get(entry)
        lost = where.startswith("sticky") and f"w|{run.run_id}" in state.leases
        if fields is None and not lost:
            yield f"its task is {task}, but {where} has no entry {entry}"
        elif fields is not None and fields["t"] != f["turn"]:
            yield f"its task has turn {fields['t']}, the run {f['turn']}"
    if task in ("taken", "sticky") and f"w|{run.run_id}" not in state.leases:
        yield f"its task is {task} without a date on which that ends"
    if task not in ("taken", "sticky") and f"w|{run.run_id}" in state.leases:
        yield f"its task is {task!r} with the date of a task that was taken"
    continuing = {
        "its task": task == "continuing",
        "its date": f"n|{run.run_id}" in state.leases,
        "what is to be carried over": "n:next" in run.pend,
    }
    if len(set(continuing.values())) > 1:
        yield f"whether it continues as new is not clear: {continuing}"
    timer = {"delayed": "d|", "backoff": "f|", "gated": "g|"}.get(task)
    if timer and timer + run.run_id not in state.timers:
        yield f"its task is {task} and nothing will wake it"
    yield from _of_waiting(state, run)


def _of_waiting(state: PartitionState, run: RunState) -> Iterator[str]:
    """What a run waits for can happen: each has its date or its entry in a queue."""
    if run.fields["task"] == "waiting" and "c:0" not in run.pend:
        yield "it waits for a slot that it will never have"
    for field, value in run.pend.items():
        kind, _, seq = field.partition(":")
        tail = f"|{run.run_id}|{seq}"
        if kind == "t" and state.timers.get(f"t{tail}") != float(value):
            yield f"timer {seq} is due at {value!r}, its date is {state.timers.get(f't{tail}')}"
        if kind == "a":
            a = parse_record(value)
            if a.state in "rcx" and f"a{tail}" not in state.leases:
                yield f"activity {seq} is {a.state} without a date on which that ends"
            if a.state == "b" and f"r{tail}" not in state.timers:
                yield f"activity {seq} waits for a retry that never comes"
            queued = [
                i for s, entries in state.streams.items() if s.startswith("tq:") for i, _ in entries
            ]
            if a.state == "q" and a.token not in queued:
                yield f"activity {seq} is queued, but in no queue"
        if kind in "ohfp" and f"a:{seq}" not in run.pend:
            yield f"{field} belongs to no activity"


def _of_dates(state: PartitionState) -> Iterator[str]:
    """No date outlives what it is about."""
    for member in [*state.timers, *state.leases]:
        kind, _, rest = member.partition("|")
        run_id, _, seq = rest.partition("|")
        if kind in "oS" or run_id.startswith(JOB):
            continue
        run = state.runs.get(run_id)
        if run is None:
            yield f"the date {member} is about no run"
        elif kind == "z":
            if run.open:
                yield f"the date {member} closes out an open run"
        elif not run.open:
            if f"z|{run_id}" not in state.leases:
                yield f"the date {member} is about a closed run"
        elif kind == "t" and f"t:{seq}" not in run.pend:
            yield f"the date {member} is about no timer"
        elif kind in "asrc" and f"a:{seq}" not in run.pend:
            yield f"the date {member} is about no activity"


def _of_index(p: Partition, state: PartitionState) -> Iterator[str]:
    expected = set()
    for run in state.runs.values():
        f = run.fields
        inverted = f"{281474976710655 - int(f['start']):012x}"
        for field, value in (("status", f["status"]), ("type", f["type"])):
            expected.add(f"{field}\0{value}\0{inverted}\0{run.run_id}")
        expected |= {
            f"{place}\0{inverted}\0{run.run_id}"
            for place in f.get("index", "").split("\1")
            if place
        }
    if state.vis != expected:
        yield f"the index of runs differs: {sorted(state.vis ^ expected)}"
    for run_id in (member.removeprefix("p|") for member in state.gc):
        if run_id not in state.runs or state.runs[run_id].open:
            yield f"{run_id} is to be removed, but is open or gone"


def _of_outboxes(p: Partition, state: PartitionState, *, rest: bool) -> Iterator[str]:
    for name, entries in state.streams.items():
        family, _, receiver = name.partition(":")
        if family != "outbox" or not entries:
            continue
        numbers = [int(i.split("-")[0]) for i, _ in entries]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            yield f"{name} has the numbers {numbers}"
        if int(state.meta.get(f"out:{receiver}", 0)) != numbers[-1]:
            yield f"{name} ends at {numbers[-1]}, the count is {state.meta.get(f'out:{receiver}')}"
        if f"o|{receiver}" not in state.leases:
            yield f"{name} is not empty and nobody looks after it"
        if rest:
            yield f"{name} still holds {len(entries)} messages"
