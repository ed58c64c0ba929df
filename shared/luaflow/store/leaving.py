"""Workers that are gone: what waits for one of them alone is handed to all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from luaflow.errors import LuaflowError
from luaflow.store import transitions
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

SLICE = 100
"""Tasks of a sticky stream that are moved by one script."""
ROUNDS = 50
"""Slices moved at a time: what came in meanwhile waits for its deadline, or for the next time."""

Place = tuple[Partition, str]
"""A partition, and a worker that is to leave it."""


async def drop_workers(
    store: Store, places: Sequence[Place], queues: Sequence[str] = ()
) -> list[Place]:
    """Remove workers from partitions and from the groups of ``queues``; return where that is done.

    Not done is what a worker has read of a queue, and nobody requeued yet.
    """
    done, todo = [], list(places)
    for _ in range(ROUNDS):
        found = await _tasks(store, todo)
        calls = [
            transitions.drop_worker(partition=p, worker=worker, queues=queues, tasks=tasks)
            for (p, worker), tasks in zip(todo, found, strict=True)
        ]
        again = []
        for place, answer in zip(todo, await store.apart(*calls), strict=True):
            if isinstance(answer, LuaflowError):
                p, worker = place
                log.error("worker %s cannot leave partition %d: %s", worker, p.number, answer)
            elif answer[0] == b"ok":
                done.append(place)
            elif answer[0] == b"more":
                again.append(place)
        todo = again
        if not todo:
            break
    return done


async def _tasks(store: Store, places: Sequence[Place]) -> list[list[tuple[str, Route]]]:
    """A slice of the tasks in the sticky stream of each place, with what their runs need."""
    pages = await _ask(
        store, [("XRANGE", p.sticky(worker), "-", "+", "COUNT", SLICE) for p, worker in places]
    )
    read = [
        (number, bytes(entry).decode(), _texts(flat))
        for number, page in enumerate(pages)
        for entry, flat in page
    ]
    queues = await _ask(store, [("HGET", places[n][0].run(f["r"]), "queue") for n, _, f in read])
    found: list[list[tuple[str, Route]]] = [[] for _ in places]
    for (number, entry, fields), queue in zip(read, queues, strict=True):
        name = bytes(queue).decode(errors="replace")
        route = Route(places[number][0], fields["w"], fields["r"], name)
        found[number].append((entry, route))
    return found


async def _ask(store: Store, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
    """Read; what is not there, or is something else, reads as empty."""
    answers = await store.ask(*commands) if commands else []
    return [b"" if isinstance(a, Exception) or a is None else a for a in answers]


def _texts(flat: Sequence[bytes]) -> dict[str, str]:
    # (a task that cannot be read is no run's: it is only removed)
    texts = [bytes(x).decode(errors="replace") for x in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
