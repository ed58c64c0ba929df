"""Being there: the worker's own record in Redis, and the leases of the tasks it holds."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Container, MutableMapping, Sequence
from typing import Any

import orjson

from luaflow.domain import packing
from luaflow.errors import LuaflowError
from luaflow.observe.logs import run_fields
from luaflow.service import Service
from luaflow.store import keys, liveness, transitions
from luaflow.store.leaving import drop_workers
from luaflow.store.spread import by_partition, severally
from luaflow.store.store import Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

_Held = tuple[str, tuple[Route, int]]
"""A run id, its route and its turn."""


class Presence(Service):
    """Says that the worker lives; its record expires a minute after it does not."""

    def __init__(
        self,
        store: Store,
        worker: str,
        queues: Sequence[str],
        describe: Callable[[], dict[str, Any]],
        answered: Callable[[float], None] = lambda _: None,
    ) -> None:
        """``describe()`` is what the record says besides host and process id.

        ``answered`` is told each time how many seconds the server took to answer.
        """
        super().__init__("presence")
        self._store = store
        self._worker = worker
        self._queues = queues
        self._describe = describe
        self._answered = answered

    async def open(self) -> None:
        """Say so once before the first task is read."""
        await self._tell()

    async def close(self) -> None:
        """Hand over what waits for this worker alone, then say good-bye.

        A worker that could not stays listed, without a record: schedulers bury it like a dead one.
        """
        namespace = self._store.namespace
        places = [(p, self._worker) for p in self._store.partitions]
        done = await drop_workers(self._store, places, self._queues)
        await self._store.read(("DEL", keys.worker(namespace, self._worker)))
        if len(done) == len(places):
            await self._store.read(("ZREM", keys.workers(namespace), self._worker))

    async def round(self) -> None:
        """Wait, then say it again."""
        await self.idle(10)
        if not self.stopping:
            await self._tell()

    async def _tell(self) -> None:
        namespace = self._store.namespace
        record = {"host": socket.gethostname(), "process": os.getpid(), **self._describe()}
        record["packed"] = packing.FORMAT  # histories it can read: see the scheduler's settling
        asked = time.monotonic()
        await self._store.one(
            liveness.announce(namespace=namespace, worker=self._worker, record=orjson.dumps(record))
        )
        self._answered(time.monotonic() - asked)


class Leases(Service):
    """Keeps the workflow tasks this worker is at work on (a long replay, a local activity)."""

    def __init__(
        self,
        store: Store,
        worker: str,
        taken: MutableMapping[str, tuple[Route, int]],
        local: Container[str],
        lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``taken``: run id -> route and turn, kept by ``WorkflowTasks``.

        ``local``: the ids of runs whose decisions wait for local activities; ``lost`` is told of
        those whose task is somebody else's now, or nobody's.
        """
        super().__init__("leases")
        self._store = store
        self._worker = worker
        self._taken = taken
        self._local = local
        self._lost = lost

    async def round(self) -> None:
        """Wait a third of a lease, then renew what is still held from before."""
        before = dict(self._taken)
        await self.idle(self._store.settings.lease_ms / 3000)
        held = [(run, at) for run, at in before.items() if self._taken.get(run) == at]
        if not held or self.stopping:
            return
        parts = by_partition(self._store, held, lambda one: one[1][0].partition)
        # a part that is away is asked again in the next round, in time for the others
        await severally(parts, self._renew, within=self._store.settings.lease_ms / 6000)

    async def _renew(self, held: Sequence[_Held]) -> None:
        # (a run that something else has changed fails alone: the leases of the others go on)
        answers = await self._store.apart(
            *(
                transitions.renew_task(
                    partition=route.partition,
                    run_id=run,
                    turn=turn,
                    worker=self._worker,
                    waits=run in self._local,
                )
                for run, (route, turn) in held
            )
        )
        for (run, at), answer in zip(held, answers, strict=True):
            if isinstance(answer, LuaflowError):
                text, extra = "the task of the run %s cannot be kept: %s", run_fields(at[0])
                log.error(text, run, answer, extra=extra)
            elif answer[0] != b"ok" and self._taken.get(run) == at:
                del self._taken[run]
                self._lost(run)
