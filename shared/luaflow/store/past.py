"""Histories, in whichever form they are stored: a stream, or packed in the state of a closed run.

Every reader of a history that may be a closed run's goes through ``read_events``, or through
``packed`` where a stream was read with other things and came back empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from luaflow.domain import packing
from luaflow.domain.events import Event, type_of
from luaflow.errors import Damaged
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.reader import Reader
from luaflow.store.scripts import load
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow.store.waiting import BLOCK_MS

PAGE = 500
"""Events read from a stream at once."""
FIRST_PIECES = 16
"""Pieces of a packed history that are read with its head: most have no more."""
_HEAD = ("past", *packing.STATED, *packing.names(packing.FORMAT, FIRST_PIECES))
Place = tuple[Partition, str]


def event_of(entry: Any) -> Event:
    """The event of a history's stream entry."""
    entry_id, fields = entry
    return Event(int(entry_id.partition(b"-")[0]), int(fields[1]), type_of(fields[3]), fields[5])


async def packed(store: Store, places: Sequence[Place]) -> list[list[Event]]:
    """The packed histories of runs; an empty list for a run that has none. Raises Damaged."""
    commands: list[tuple[Arg, ...]] = [("HMGET", p.run(run_id), *_HEAD) for p, run_id in places]
    answers = await store.read(*commands) if commands else []
    rest = [_rest(run_id, answer[0]) for (_, run_id), answer in zip(places, answers, strict=True)]
    both = zip(places, rest, strict=True)
    commands = [("HMGET", p.run(run_id), *names) for (p, run_id), names in both if names]
    more = iter(await store.read(*commands) if commands else ())
    found: list[list[Event]] = []
    known = len(packing.STATED)
    for (_, run_id), (head, *some), names in zip(places, answers, rest, strict=True):
        if head is None:
            found.append([])
            continue
        format_, count = packing.parse_head(head)
        about = packing.about(run_id, some[:known])
        parts = some[known : known + count - len(names)] + (next(more) if names else [])
        # (removed between the two reads: there is nothing any more)
        with _told(run_id):
            events = [] if None in parts else packing.unpack(b"".join(parts), about, format_)
            workflow_id = about.wid.decode()
        found.append(await opened(store, workflow_id, events))
    return found


def _rest(run_id: str, head: bytes | None) -> list[str]:
    """The fields that have pieces which were not read with the head."""
    if head is None:
        return []
    with _told(run_id):
        format_, count = packing.parse_head(head)
    return packing.names(format_, count, FIRST_PIECES if format_ == packing.FORMAT else 0)


@contextmanager
def _told(run_id: str) -> Iterator[None]:
    """Whose history it is that cannot be read."""
    try:
        yield
    except ValueError as error:
        raise Damaged(f"the history of the run {run_id}: {error}") from error


async def opened(store: Store, workflow_id: str, events: list[Event]) -> list[Event]:
    """Events that were kept as they were written, with the payloads in them opened."""
    if store.border is None:
        return events
    bodies = await store.opened([event.raw for event in events], f"w:{workflow_id}")
    return [Event(e.id, e.ts, e.type, raw) for e, raw in zip(events, bodies, strict=True)]


async def read_events(
    store: Store, p: Partition, run_id: str, first: int = 1, last: int | None = None
) -> list[Event]:
    """Events from ``first`` to ``last`` of a run, at most ``PAGE`` of a stream; empty behind it."""
    high = "+" if last is None else f"{last}-0"
    (entries,) = await store.read(("XRANGE", p.hist(run_id), f"{first}-0", high, "COUNT", PAGE))
    if entries:
        return [event_of(entry) for entry in entries]
    (events,) = await packed(store, [(p, run_id)])
    return events[first - 1 : last]


async def wait_events(store: Store, reader: Reader, route: Route, last: int) -> list[Event]:
    """Wait for events of a run behind ``last``; none: ask again."""
    p, workflow_id, run_id = route[:3]
    command = ("XREAD", "COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS", p.hist(run_id), f"{last}-0")
    found = await reader.read(*command)
    if not found:  # nothing new; or the run has closed, and its stream is gone
        return await read_events(store, p, run_id, last + 1)
    return await opened(store, workflow_id, [event_of(entry) for entry in found[0][1]])


async def first_events(
    store: Store, places: Sequence[Place], firsts: Sequence[Any]
) -> list[Event | None]:
    """The first event of each run; ``firsts``: what reading the streams' first entries gave."""
    empty = [place for place, entries in zip(places, firsts, strict=True) if not entries]
    kept = dict(zip(empty, await packed(store, empty), strict=True)) if empty else {}
    return [
        event_of(entries[0]) if entries else next(iter(kept[place]), None)
        for place, entries in zip(places, firsts, strict=True)
    ]


def compact_run(
    *, partition: Partition, about: packing.About, events: Sequence[Event], packed: bytes
) -> Call:
    """Put the packed history of a closed run in the place of its stream."""
    p, run_id = partition, about.run_id.decode()
    # (where the workflow id is damaged, that of nobody)
    wf = p.wf(about.wid.decode(errors="replace"))
    keys = [p.meta, wf, p.run(run_id), p.hist(run_id), p.pend(run_id), p.gc]
    parts = packing.pieces(packed)
    length, size = len(events), sum(len(event.raw) for event in events)
    args: list[Arg] = [run_id, length, size, about.cid, packing.head(parts, length), *parts]
    return Call(load("compact_run"), keys, args)
