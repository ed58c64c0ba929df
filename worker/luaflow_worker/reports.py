"""What became of attempts that were taken from a queue, told to the server together.

One round trip for many; the outcomes of plain jobs of a partition are one call, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from luaflow.errors import LuaflowError
from luaflow.observe.logs import attempt_fields
from luaflow.store import attempts
from luaflow.store.attempts import Proof
from luaflow.store.jobs import End, end_activity, finish_jobs
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.spread import is_spread
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_worker.attempt import Attempt, Verdict, info_of, route_of

log = logging.getLogger(__name__)

MOST = 500
"""Reports of one pipeline: what comes later waits for the next one."""
BESIDE_SECONDS = 0.25
"""How long reports are alone on their way."""
REST_SECONDS = 1.0
"""What a worker that stops waits for the reports that it has not sent before."""
Report = tuple[Attempt, Verdict]


class Reports:
    """Sends reports as they come; those that come while some are on their way go with the next.

    None waits for long: when some are on their way for ``BESIDE_SECONDS`` the next ones leave.
    """

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], Any]) -> None:
        """``spawn`` runs a coroutine in the background of the activities."""
        self._store = store
        self._spawn = spawn
        self._spread = is_spread(store)
        self._waiting: defaultdict[int, list[Report]] = defaultdict(list)
        self._sending: set[int] = set()

    def add(self, attempt: Attempt, end: Verdict) -> None:
        """Report how an attempt ended."""
        # where partitions may be away one by one, each has a line of its own
        line = attempt.partition.number if self._spread else 0
        self._waiting[line].append((attempt, end))
        if line not in self._sending:
            self._sending.add(line)
            self._spawn(self._send(line))

    async def _send(self, line: int) -> None:
        try:
            while waiting := self._waiting[line]:
                some, self._waiting[line] = waiting[:MOST], waiting[MOST:]
                # while a server or a replica is away, or when these fail, the next ones go on: what
                # has ended is renewed no more: after a lease, or a heartbeat timeout, it is late
                sent = self._spawn(self._tell(some))
                await asyncio.wait((sent,), timeout=BESIDE_SECONDS)
        finally:
            self._sending.discard(line)

    async def send_rest(self) -> None:
        """Send what waits for others: those on their way may be given up next."""
        rest, self._waiting = self._waiting, defaultdict(list)
        sent = [self._spawn(self._tell(some)) for some in rest.values() if some]
        if sent:
            await asyncio.wait(sent, timeout=REST_SECONDS)

    async def _tell(self, some: Sequence[Report]) -> None:
        single = [one for one in some if one[1].delay is not None or not one[0].job]
        jobs = jobs_of(one for one in some if one[1].delay is None and one[0].job)
        calls = [call_of(attempt, end, route_of(attempt)) for attempt, end in single]
        answers = await self._store.apart(*calls, *jobs)
        for (attempt, end), answer in zip(single, answers, strict=False):
            self._told(attempt, end, answer)
        for answer in answers[len(single) :]:
            if isinstance(answer, LuaflowError):
                log.error("what became of a job cannot be reported: %s", answer)

    def _told(self, attempt: Attempt, end: Verdict, answer: Any) -> None:
        if isinstance(answer, LuaflowError):
            text, extra = "what became of an activity cannot be reported: %s", info_of(attempt)
            log.error(text, answer, extra=attempt_fields(extra))
        elif answer[0] == b"moved":
            self._spawn(self._follow(attempt, end))

    async def _follow(self, attempt: Attempt, end: Verdict) -> None:
        await self._store.reach(route_of(attempt), lambda route: call_of(attempt, end, route))


def call_of(attempt: Attempt, end: Verdict, route: Route) -> Call:
    """The call that reports an attempt: its outcome, or that it is to be tried again."""
    proof = Proof(token=attempt.token)
    if end.delay is None:
        return end_activity(
            route=route, seq=str(attempt.seq), proof=proof, type=end.event, body=end.body
        )
    return attempts.retry_activity(
        partition=attempt.partition,
        run_id=attempt.run_id,
        seq=str(attempt.seq),
        proof=proof,
        delay=end.delay,
        failure=end.body,
        details=end.details,
    )


def jobs_of(some: Iterable[Report]) -> list[Call]:
    """The calls that report the outcomes of plain jobs: one for each partition."""
    ends: defaultdict[int, list[End]] = defaultdict(list)
    partitions: dict[int, Partition] = {}
    for a, end in some:
        partitions[a.partition.number] = a.partition
        proof = Proof(token=a.token)
        ends[a.partition.number].append(End(a.workflow_id, proof, end.event, end.body))
    return [finish_jobs(partition=partitions[p], ends=group) for p, group in ends.items()]
