"""Plain jobs whose queue entry is lost: found by the index of open jobs, a slice at a visit."""

from __future__ import annotations

from luaflow.store import attempts, jobs
from luaflow.store.attempts import parse_record
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.store import Store
from luaflow_scheduler.queues import Queues

SLICE = 100
"""Open jobs looked at in one visit of a partition."""


class LostJobs:
    """Goes through the open jobs of each partition, the oldest first, and begins again."""

    def __init__(self, store: Store, queues: Queues) -> None:
        self._store = store
        self._queues = queues
        self._next: dict[int, int] = {}

    async def find(self, p: Partition) -> list[Call]:
        """The calls that queue again what of a slice is queued, but in no stream."""
        start = self._next.get(p.number, 0)
        (members,) = await self._store.read(("ZRANGE", p.jobs, start, start + SLICE - 1))
        self._next[p.number] = start + SLICE if len(members) == SLICE else 0
        ids = [bytes(member).decode() for member in members]
        hashes = await self._store.read(
            *(("HMGET", p.job(i), "queue", f"a:{jobs.SEQ}") for i in ids)
        )
        queued = []
        for job_id, (queue, text) in zip(ids, hashes, strict=True):
            record = parse_record(text) if text else None
            if record and record.state == "q":
                self._queues.met(bytes(queue).decode())
                queued.append((job_id, bytes(queue).decode(), record))
        commands: list[tuple[Arg, ...]] = [
            ("XRANGE", p.activity_queue(queue), record.token, record.token)
            for _, queue, record in queued
        ]
        there = await self._store.read(*commands) if commands else []
        return [
            attempts.queue_activity(
                partition=p,
                run_id=jobs.run_of(job_id),
                queue=queue,
                seq=jobs.SEQ,
                attempt=record.attempt,
                state="q",
            )
            for (job_id, queue, record), entry in zip(queued, there, strict=True)
            if not entry
        ]
