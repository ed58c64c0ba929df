"""Lists and counts of runs; one that is damaged is named, and keeps no other from being seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson

from luaflow.client.damage import reading
from luaflow.client.health import health_words
from luaflow.client.looking import describe
from luaflow.domain import visibility
from luaflow.domain.lanes import base_of
from luaflow.domain.visibility import Query
from luaflow.errors import Damaged, NotFound
from luaflow.store.keys import Partition
from luaflow.store.link import Arg
from luaflow.store.store import Store

T = TypeVar("T")


class Place(NamedTuple):
    """Where the index has a run: its position in the order of all, its partition."""

    at: bytes
    partition: Partition

    @property
    def run_id(self) -> str:
        """The run that is there."""
        return visibility.run_of(self.at)


Damage = dict[str, dict[str, Any]]
"""What is damaged, by run id: ``{workflow_id, run_id, message}``."""


class Listing(NamedTuple):
    """Descriptions, the name of the next page, what is wrong with damaged runs."""

    runs: list[dict[str, Any]]
    following: str | None
    damaged: list[dict[str, Any]]


async def list_runs(store: Store, query: Query, limit: int, page: str | None) -> Listing:
    """The newest runs that a query asks for; one that cannot be read counts as one it asks for."""
    damaged: Damage = {}
    if query.workflow_id is not None:
        return Listing(await _by_id(store, query, damaged), None, [*damaged.values()])
    after = visibility.parse_page(page) if page else b""
    found: list[Place] = []
    while True:
        size = limit + 1 - len(found)
        places = await _places(store, query, size, after)
        found += await _filter(store, query, places, damaged)
        if len(places) < size or len(found) > limit:
            break
        after = places[-1].at
    more = visibility.page_token(found[limit - 1].at) if len(found) > limit else None
    return Listing(await _described(store, found[:limit], damaged), more, [*damaged.values()])


async def count_runs(store: Store, query: Query) -> int:
    """How many runs a query asks for; Damaged where that cannot be said of one."""
    damaged: Damage = {}
    if query.workflow_id is not None:
        total = len(await _by_id(store, query, damaged))
    elif query.exact:
        commands: list[tuple[Arg, ...]] = [
            ("ZLEXCOUNT", p.vis, *visibility.bounds(*what))
            for p in store.partitions
            for what in query.ranges
        ]
        return sum(await store.read(*commands))
    else:
        total = await _count_read(store, query, damaged)
    for one in damaged.values():
        raise Damaged(one["message"])
    return total


async def _count_read(store: Store, query: Query, damaged: Damage) -> int:
    total, after = 0, b""
    while True:
        places = await _places(store, query, 1000, after)
        total += len(await _filter(store, query, places, damaged))
        if len(places) < 1000:
            return total
        after = places[-1].at


async def _places(store: Store, query: Query, size: int, after: bytes) -> list[Place]:
    """The next positions in the order of all runs, with the partition of each."""
    where = [(p, what) for p in store.partitions for what in query.ranges]
    commands: list[tuple[Arg, ...]] = [
        ("ZRANGEBYLEX", p.vis, *visibility.bounds(*what, after), "LIMIT", 0, size)
        for p, what in where
    ]
    answers = await store.read(*commands)
    # a run whose status changes between two of these reads may be found twice
    found: dict[bytes, Partition] = {}
    for (p, _), members in zip(where, answers, strict=True):
        with reading(f"the index of runs ({p.vis})"):
            for member in members:
                place = visibility.position(bytes(member))
                visibility.run_of(place)  # (it must be text)
                found[place] = p
    return [Place(*place) for place in sorted(found.items())[:size]]


async def _apart(
    store: Store,
    work: Callable[[list[Place]], Awaitable[list[T]]],
    places: list[Place],
    damaged: Damage,
) -> list[T]:
    """Do it with all of them; where one is damaged one by one, and note what is wrong with it."""
    try:
        return await work(places)
    except Damaged as error:
        if len(places) == 1:
            damaged[places[0].run_id] = await _told(store, places[0], error)
            return []
    return [one for place in places for one in await _apart(store, work, [place], damaged)]


async def _told(store: Store, place: Place, error: Damaged) -> dict[str, Any]:
    """Which run it is, as far as that can be read, and what is wrong with it."""
    (name,) = await store.ask(("HGET", place.partition.run(place.run_id), "wid"))
    workflow_id = name.decode(errors="replace") if isinstance(name, bytes) else None
    whose = f"the workflow {workflow_id!r}" if workflow_id else f"the run {place.run_id}"
    message = f"{whose} cannot be listed: {error.message}"
    return {"workflow_id": workflow_id, "run_id": place.run_id, "message": message}


async def _filter(store: Store, query: Query, places: list[Place], damaged: Damage) -> list[Place]:
    if query.exact or not places:
        return places
    return await _apart(store, lambda some: _holding(store, query, some), places, damaged)


async def _described(store: Store, places: list[Place], damaged: Damage) -> list[dict[str, Any]]:
    async def work(some: list[Place]) -> list[dict[str, Any]]:
        found = await describe(store, [(place.partition, place.run_id) for place in some])
        return [run for run in found if run is not None]

    return await _apart(store, work, places, damaged)


async def _holding(store: Store, query: Query, places: list[Place]) -> list[Place]:
    """Those of the runs that all conditions hold of."""
    commands: list[tuple[Arg, ...]] = [
        ("HMGET", place.partition.run(place.run_id), *_COMPARED) for place in places
    ]
    answers = await store.read(*commands)
    healths = ["ok"] * len(places)
    if query.asks_health:
        healths = await health_words(store, places, answers)
    return [
        place
        for place, answer, health in zip(places, answers, healths, strict=True)
        if answer[0] is not None and query.holds(_compared(place, answer) | {"health": health})
    ]


_COMPARED = ("status", "type", "queue", "start", "close", "attrs", "stuck", "parked")


def _compared(place: Place, answer: Sequence[Any]) -> dict[str, Any]:
    """What the conditions of a query look at."""
    status, type, queue, start, close, attrs, *_ = answer
    with reading(f"the run {place.run_id}"):
        return {
            "run_id": place.run_id,
            "status": bytes(status).decode(),
            "type": bytes(type).decode(),
            "task_queue": base_of(bytes(queue).decode()),
            "start_time": int(start),
            "close_time": None if close is None else int(close),
            "attributes": orjson.loads(attrs) if attrs else {},
        }


async def _by_id(store: Store, query: Query, damaged: Damage) -> list[dict[str, Any]]:
    try:
        route = await store.route(query.workflow_id or "")
    except NotFound:
        return []
    place = Place(b"\0" + route.run_id.encode(), route.partition)
    holding = await _apart(store, lambda some: _holding(store, query, some), [place], damaged)
    return await _described(store, holding, damaged)
