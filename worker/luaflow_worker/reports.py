"""What became of attempts of plain jobs, told to the server together: one round trip for many."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from luaflow.errors import LuaflowError
from luaflow.store import attempts
from luaflow.store.attempts import Proof
from luaflow.store.jobs import End, finish_jobs
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.spread import is_spread
from luaflow.store.store import Store
from luaflow_worker.attempt import Attempt, Verdict

log = logging.getLogger(__name__)

MOST = 500
"""Reports of one pipeline: what comes later waits for the next one."""


class Reports:
    """Sends reports as they come; those that come while some are on their way go with the next."""

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], Any]) -> None:
        """``spawn`` runs a coroutine in the background of the activities."""
        self._store = store
        self._spawn = spawn
        self._spread = is_spread(store)
        self._waiting: defaultdict[int, list[tuple[Attempt, Verdict]]] = defaultdict(list)
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
                for answer in await self._store.apart(*calls_of(some)):
                    if isinstance(answer, LuaflowError):
                        log.error("what became of a job cannot be reported: %s", answer)
        finally:
            self._sending.discard(line)


def calls_of(some: Sequence[tuple[Attempt, Verdict]]) -> list[Call]:
    """The calls that report attempts: outcomes by partition, and what is to be tried again."""
    calls: list[Call] = []
    ends: defaultdict[int, list[End]] = defaultdict(list)
    partitions: dict[int, Partition] = {}
    for a, end in some:
        proof = Proof(token=a.token)
        if end.delay is None:
            partitions[a.partition.number] = a.partition
            ends[a.partition.number].append(End(a.workflow_id, proof, end.event, end.body))
            continue
        calls.append(
            attempts.retry_activity(
                partition=a.partition,
                run_id=a.run_id,
                seq=str(a.seq),
                proof=proof,
                delay=end.delay,
                failure=end.body,
                details=end.details,
            )
        )
    calls += [finish_jobs(partition=partitions[p], ends=group) for p, group in ends.items()]
    return calls
