"""Taking workflow tasks: from stream entries to runs in memory, ready to decide."""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import orjson

from luaflow.domain.events import AUTO_UPGRADE, Event
from luaflow.errors import LuaflowError
from luaflow.observe.logs import run_fields
from luaflow.replay.decider import Execution, NonDeterminism, explained
from luaflow.replay.loading import run_info
from luaflow.store import transitions
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.past import PAGE
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_worker.engines import Engines, check_runtime
from luaflow_worker.lengths import tell_of_length
from luaflow_worker.live import Cache, Clock, Live
from luaflow_worker.metrics import WorkerMetrics
from luaflow_worker.place import make_place
from luaflow_worker.recorded_values import make_value, write_log
from luaflow_worker.stretches import (
    length_of,
    parse_events,
    read_events,
    read_page,
    stretches,
)
from luaflow_worker.versioning import code_of

log = logging.getLogger(__name__)

LONG_REPLAY = 1000
"""Events from which on a replay is made beside the batch it was taken with."""


class Entry(NamedTuple):
    """A workflow task as it was read from a stream."""

    partition: Partition
    stream: str
    entry: str
    run_id: str
    workflow_id: str
    turn: int


class Taken(NamedTuple):
    """A task this worker holds: the run's route, its turn, length and the events it lacks."""

    route: Route
    type: str
    turn: int
    length: int
    clock: Clock
    cached: Live | None
    events: list[Event]
    parent: str
    fails: int = 0


def under_way(
    cache: Cache, entries: Sequence[Entry], unsure: Container[str]
) -> tuple[list[Entry], list[tuple[Entry, Live]]]:
    """Part the tasks to take now from those of runs in memory that are busy, or named before.

    A task can be read before the answer to the commit it follows, or while a fused step is made:
    the coroutine is of use soon. The steps of ``unsure`` runs may take for ever.
    """
    named, now, later = set[str](), list[Entry](), list[tuple[Entry, Live]]()
    for e in entries:
        live = cache.get(e.run_id)
        used = live is not None and not live.dropped and (live.busy or e.run_id in named)
        if live is not None and used and e.run_id not in unsure:
            later.append((e, live))
        else:
            now.append(e)
        named.add(e.run_id)
    return now, later


def _busy(cache: Cache, run_id: str) -> Live | None:
    """The run in memory, from now on busy; None when it is not there, or busy already."""
    live = cache.get(run_id)
    if live is None or live.busy or live.dropped:
        return None
    live.busy = True
    return live


def _call(worker: str, e: Entry, live: Live | None) -> Call:
    return transitions.take_workflow(
        partition=e.partition,
        run_id=e.run_id,
        stream=e.stream,
        turn=e.turn,
        worker=worker,
        entry=e.entry,
        cached_cid=live.cid if live else "",
        cached=live.length if live else 0,
    )


async def take(
    store: Store,
    worker: str,
    cache: Cache,
    entries: Sequence[Entry],
    *,
    stale: Callable[[Live], None],
    free: Callable[[Live], None],
) -> list[Taken]:
    """Take tasks together; those that went to somebody else meanwhile are left out.

    ``stale(live)`` is told of a cached run that somebody else decided since, ``free(live)`` of one
    whose task is not ours: what its activities returned meanwhile must not be forgotten.
    """
    lives = [_busy(cache, e.run_id) for e in entries]
    try:
        answers = await store.apart(*map(_call, itertools.repeat(worker), entries, lives))
    except BaseException:
        for live in lives:
            if live is not None:
                free(live)
        raise
    at = time.monotonic()
    taken = []
    for e, live, a in zip(entries, lives, answers, strict=True):
        if isinstance(a, LuaflowError):
            text, extra = "the run %s of workflow %s cannot be taken: %s", run_fields(e)
            log.error(text, e.run_id, e.workflow_id, a, extra=extra)
        if isinstance(a, LuaflowError) or a[0] != b"ok":
            if live is not None:
                free(live)
            continue
        try:
            task, first = _taken(worker, e, a, at)
        except (ValueError, TypeError, LookupError) as error:
            # this run alone: its lease ends, and it is parked when that goes on
            log.error(  # noqa: TRY400 - where it was read says nothing
                "the run %s of workflow %s cannot be taken, what is stored of it is not what was"
                " written: %s",
                *(e.run_id, e.workflow_id, error),
                extra=run_fields(e),
            )
            if live is not None:
                stale(live)
            continue
        if live is not None and first != live.length + 1:
            # somebody else decided since: the coroutine is of no use any more
            stale(live)
        taken.append(task if live is None or live.dropped else task._replace(cached=live))
    return taken


def _taken(worker: str, e: Entry, a: Sequence[Any], at: float) -> tuple[Taken, int]:
    """The task that an answer gives, without a cached run, and the number of its first event."""
    turn, length, now, first = int(a[1]), int(a[2]), int(a[3]), int(a[4])
    route = Route(e.partition, e.workflow_id, e.run_id, bytes(a[8]).decode(), worker)
    kind, parent = bytes(a[7]).decode(), bytes(a[9] or b"").decode()
    clock, events = Clock(now, at), parse_events(a[11])
    return Taken(route, kind, turn, length, clock, None, events, parent, int(a[12])), first


async def release(
    store: Store, worker: str, held: Iterable[tuple[Route, int]], *, keep: bool = False
) -> None:
    """Give tasks back to their queues; ``held``: routes and turns; ``keep``: to its own queue."""
    await store.apart(
        *(
            transitions.release_task(route=route, turn=turn, worker=worker, keep=keep)
            for route, turn in held
        )
    )


async def taken_again(store: Store, live: Live) -> Taken:
    """The task that a run in memory is at work on, to be begun anew: messages came."""
    route, place = live.place.route, live.place
    length = await length_of(store, route)
    events = await read_page(store, route, 1, length)
    parent = orjson.dumps(place.parent).decode() if place.parent else ""
    return Taken(route, place.type, live.turn, length, live.clock, None, events, parent)


async def revive(
    store: Store,
    engines: Engines,
    metrics: WorkerMetrics,
    task: Taken,
    stale: Callable[[Live], None],
) -> Live:
    """Return the run with all its events known: from the cache, or rebuilt by replay.

    ``stale(live)`` is told of a cached one whose code is not that of its next decision any more.
    Raises NonDeterminism, ActivationFault, LoadError or MissingBundle when that cannot be.
    """
    events = task.events
    live = task.cached
    # whether a run that upgrades has moved is known from all of its events, else from the first
    upgrades = live is None and events[0].body.get("versioning") == AUTO_UPGRADE
    if events and events[-1].id < task.length and (live is not None or upgrades):
        events = events + await read_events(store, task.route, events[-1].id + 1, task.length)
    bundle = await code_of(engines, live, events)
    if live is not None and live.place.bundle != bundle:
        stale(live)
        live, events = None, await read_events(store, task.route, 1, PAGE)
    if live is None:
        live = await _rebuild(store, engines, metrics, task, events, bundle)
    else:
        metrics.sticky_hit()
        live.execution.absorb(events)
        live.follow(events)
    live.turn, live.length, live.clock = task.turn, task.length, task.clock
    return live


async def _rebuild(
    store: Store,
    engines: Engines,
    metrics: WorkerMetrics,
    task: Taken,
    events: list[Event],
    bundle: str,
) -> Live:
    """Replay a run that begins with ``events``; the rest is read on the way, and not kept."""
    route, first = task.route, events[0]
    check_runtime(first.body)
    code = await engines.get(bundle)
    place = make_place(store, route, first, task.parent, code.bundle)
    place.bundle = bundle
    info = run_info(store.namespace, *route[1:3], place.started, code.bundle, place.pid)
    run = code.engine.open(info, log_replay=engines.log_replay)
    run.log = functools.partial(write_log, place)
    live = Live(place, code.engine, Execution(run, make_value), busy=True)
    begun = time.monotonic()
    try:
        async with aclosing(stretches(store, route, events, task.length)) as history:
            async for stretch in history:
                if code.engine.broken:  # by another run, meanwhile
                    live.drop()
                    return await _rebuild(store, engines, metrics, task, events, bundle)
                live.execution.replay(stretch)
                live.follow(stretch)
    except NonDeterminism as error:
        known = await read_events(store, route, 1, task.length)
        raise explained(error, code.engine, info, known) from None
    except BaseException:
        live.drop()
        raise
    metrics.replay(task.length)
    seconds = time.monotonic() - begun
    new = not (live.execution.upto or task.fails)
    metrics.durations.replayed(place.type, seconds, first=new)
    tell_of_length(route, task.length, seconds)
    return live
