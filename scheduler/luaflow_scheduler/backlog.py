"""How much work a queue has: what autoscalers ask a scheduler, and what never reads idle in error.

An entry leaves its stream when a worker takes it, so the length of the streams alone says zero
while the last activity runs. What is taken has a lease: work is what is in one or the other.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from luaflow.domain.ids import check_name
from luaflow.domain.lanes import HIGH, LOW, base_of
from luaflow.errors import InvalidArgument, LuaflowError
from luaflow.store.attempts import parse_record
from luaflow.store.link import Arg
from luaflow.store.store import Store

FRESH_SECONDS = 1.0
"""How long an answer is given again, however many ask."""
SPARE_MS = 60_000
"""How far the clocks of several servers may be apart: leases are looked at so much further on."""
MOST = 200
"""Queues that are looked at together: names come from users."""
WAIT_SECONDS = 5.0
"""How long one who asks waits for the server."""
KINDS = ("workflow", "activity")

Place = tuple[int, str]
"""A partition's number and a member of its leases."""
Key = tuple[str, str]
"""A queue and a kind."""


class Backlog(NamedTuple):
    """Tasks of one kind: those nobody has taken, and those that a worker has now."""

    queued: int
    in_flight: int

    def to_json(self) -> dict[str, int]:
        """The numbers and their sum, by which to scale."""
        return {**self._asdict(), "backlog": self.queued + self.in_flight}


class Backlogs:
    """The backlogs of the queues of a namespace, asked for by name; all at once, a second apart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: dict[str, None] = {}
        self._counted: dict[Key, Backlog] = {}
        self._until = float("-inf")
        self._queue_of: dict[Place, str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def of(self, queue: str) -> dict[str, Any]:
        """What ``/api/v1/queues/<queue>/backlog`` answers; InvalidArgument, Unavailable."""
        check_name(queue, "the queue")
        async with self._one_at_a_time:
            if (queue, KINDS[0]) not in self._counted or time.monotonic() > self._until:
                self._remember(queue)
                await self._count()
                self._until = time.monotonic() + FRESH_SECONDS
        kinds = {kind: self._counted[queue, kind] for kind in KINDS}
        both = Backlog(*map(sum, zip(*kinds.values(), strict=True)))
        shapes = {kind: found.to_json() for kind, found in kinds.items()}
        return {"queue": queue, **both.to_json(), **shapes}

    def _remember(self, queue: str) -> None:
        self._asked.pop(queue, None)
        self._asked[queue] = None
        if len(self._asked) > MOST:
            del self._asked[next(iter(self._asked))]

    async def _count(self) -> None:
        """Count all queues that were asked for.

        Leases first: what is handed back to its queue meanwhile is counted once more there. What
        is taken meanwhile is in neither, so nothing is called idle before the leases say so again.
        """
        held = await self._held()
        queued = await self._queued()
        wanted = [(queue, kind) for queue in self._asked for kind in KINDS]
        if any(not held[key] and not queued[key] for key in wanted):
            held = await self._held()
        self._counted = {key: Backlog(queued[key], held[key]) for key in wanted}

    async def _queued(self) -> Counter[Key]:
        labels: list[Key] = []
        commands: list[tuple[Arg, ...]] = []
        for p in self._store.partitions:
            for queue in self._asked:
                for lane in (queue, queue + HIGH, queue + LOW):
                    labels += [(queue, "workflow"), (queue, "activity")]
                    commands += [("XLEN", p.workflow_queue(lane)), ("XLEN", p.activity_queue(lane))]
        found: Counter[Key] = Counter()
        for label, length in zip(labels, await self._store.read(*commands), strict=True):
            found[label] += length
        return found

    async def _held(self) -> Counter[Key]:
        """The tasks that workers have, or that wait for one worker alone, by queue and kind."""
        places = await self._leases()
        known = {place: self._queue_of[place] for place in places if place in self._queue_of}
        known |= await self._look_up([place for place in places if place not in known])
        self._queue_of = known
        return Counter(
            (queue, "activity" if member[0] == "a" else "workflow")
            for (_, member), queue in known.items()
        )

    async def _leases(self) -> list[Place]:
        """The leases that end within the time of one: a worker has to renew those it holds."""
        latest = await self._latest()
        partitions = self._store.partitions
        pages = await self._store.read(
            *(("ZRANGEBYSCORE", p.leases, "-inf", latest) for p in partitions)
        )
        return [
            (p.number, bytes(member).decode())
            for p, page in zip(partitions, pages, strict=True)
            for member in page
            if member[:2] in {b"a|", b"w|"}
        ]

    async def _latest(self) -> Arg:
        """The latest end of a lease that is held; what waits for its start may end much later."""
        settings = self._store.settings
        if settings.simulated:
            return "+inf"
        ((seconds, micros),) = await self._store.read(("TIME",))
        now = int(seconds) * 1000 + int(micros) // 1000
        return now + max(settings.lease_ms, settings.sticky_timeout_ms) + SPARE_MS

    async def _look_up(self, places: Sequence[Place]) -> dict[Place, str]:
        """The queue of each lease, but of those that nobody holds: it ended, or was deferred."""
        commands: list[tuple[Arg, ...]] = []
        for number, member in places:
            p, (run_id, seq) = self._store.partitions[number], _about(member)
            commands.append(("HGET", p.owner(run_id), "queue"))
            commands.append(("HMGET", p.waits(run_id), f"a:{seq}", f"o:{seq}"))
        answers = await self._store.read(*commands) if commands else []
        pairs = zip(answers[::2], answers[1::2], strict=True)
        found = [
            (place, _queue(place[1], *pair)) for place, pair in zip(places, pairs, strict=True)
        ]
        return {place: queue for place, queue in found if queue}


def _about(member: str) -> tuple[str, str]:
    """The run and the command of a lease; a workflow task is about no command."""
    kind, _, rest = member.partition("|")
    run_id, _, seq = rest.rpartition("|") if kind == "a" else (rest, "", "")
    return run_id, seq


def _queue(member: str, queue: bytes | None, activity: Any) -> str:
    if queue is None:
        return ""
    if member[0] == "w":
        return base_of(bytes(queue).decode())
    record, options = activity
    if record is None or parse_record(record).deferred:
        return ""
    named = orjson.loads(options or b"{}").get("queue")
    return base_of(named or bytes(queue).decode())


class BacklogPage:
    """``/api/v1/queues/<queue>/backlog`` of a scheduler's metrics port."""

    BEGIN, END = "/api/v1/queues/", "/backlog"

    def __init__(self, store: Store) -> None:
        """Call it on the loop that the store belongs to."""
        self._backlogs = Backlogs(store)
        self._loop = asyncio.get_running_loop()

    def __call__(self, path: str) -> tuple[int, bytes] | None:
        """Status and JSON for a path that is ours. Called on a thread, which waits."""
        if not (path.startswith(self.BEGIN) and path.endswith(self.END)):
            return None
        queue = path[len(self.BEGIN) : -len(self.END)]
        asked = asyncio.run_coroutine_threadsafe(self._backlogs.of(queue), self._loop)
        try:
            return 200, orjson.dumps(asked.result(WAIT_SECONDS))
        except InvalidArgument as error:
            return 400, orjson.dumps({"error": str(error)})
        except (LuaflowError, TimeoutError) as error:
            asked.cancel()
            # no number at all: an autoscaler that is told zero would take the workers away
            why = str(error) or f"no answer from Redis within {WAIT_SECONDS:.0f} s"
            return 503, orjson.dumps({"error": why})
