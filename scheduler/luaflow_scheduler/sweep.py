"""The sweep: tasks that no worker will ever read are put into their queue again (design 4).

A queue is an index, the run's state is the truth. Entries may be lost with a stream, or may have
been read by a worker that died before it took the task. Looked at slowly, a partition at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from luaflow.service import Service
from luaflow.store import attempts, keys, transitions
from luaflow.store.attempts import parse_record
from luaflow.store.health import Sign, reasons
from luaflow.store.keys import GROUP, Partition
from luaflow.store.leaving import drop_workers
from luaflow.store.link import Arg, Call
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_scheduler.dates import run_apart
from luaflow_scheduler.everywhere import Everywhere, look_everywhere
from luaflow_scheduler.ghosts import Ghosts
from luaflow_scheduler.lost_jobs import LostJobs
from luaflow_scheduler.lost_requests import LostRequests
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.stuck import LongHistories, StuckRuns

SLICE = 100
"""Entries of a stream, and open runs, looked at in one visit of a partition."""
PAGE = 1000
"""Fields of what a run waits for, looked at in one visit; small runs are read whole."""
OPEN = ("[status\0running\0", "(status\0running\x01")
"""The part of the index of runs that holds the open ones."""
_READ = ("wid", "queue", "task", "entry", "turn", "stuck", "parked", "len", "size")


class _Run(NamedTuple):
    """An open run and the entry its task should have."""

    route: Route
    task: str
    entry: str
    turn: int


class _Queued(NamedTuple):
    """A queued activity and the entry it should have."""

    run: _Run
    seq: str
    attempt: int
    queue: str
    entry: str


class Sweep(Service):
    """Goes round the partitions: a visit to each once in ``period`` seconds, a glance once a lease.

    A glance is for what a dead worker, or a lost reply to a living one, left behind; it is cheap.
    """

    def __init__(
        self, store: Store, queues: Queues, metrics: SchedulerMetrics, *, period: float = 30.0
    ) -> None:
        super().__init__("sweep")
        self._store = store
        self._queues = queues
        self._metrics = metrics
        self._jobs = LostJobs(store, queues)
        self._ghosts = Ghosts(store)
        self._lost_requests = LostRequests(store)
        turn = min(period, store.settings.lease_ms / 1000)
        self._pause = turn / len(store.partitions)
        self._visit_every = round(period / turn)
        self._rounds = 0
        self._names: Sequence[str] = ()
        self._cursor: dict[int, str] = {}
        self._pages: dict[str, str] = {}
        self._read: dict[int, frozenset[tuple[str, str, str]]] = {}
        self._buried: dict[str, set[int]] = {}
        self._everywhere: tuple[int, Everywhere] | None = None
        self.stuck = StuckRuns()
        self.long = LongHistories()

    async def round(self) -> None:
        """Wait, then go on to the next partition."""
        await self.idle(self._pause)
        if self.stopping:
            return
        turn, number = divmod(self._rounds, len(self._store.partitions))
        self._rounds += 1
        p = self._store.partitions[number]
        # each turn visits its share of the partitions
        if (turn + number) % self._visit_every == 0:
            if self._everywhere is None or turn != self._everywhere[0]:
                self._everywhere = turn, await look_everywhere(self._store)
            await self.visit(p, self._everywhere[1])
        else:
            await self.glance(p)

    async def visit(self, p: Partition, everywhere: Everywhere | None = None) -> int:
        """Put the lost tasks of a slice of a partition into their queues; return how many.

        ``everywhere``: what all partitions said at the beginning of this turn.
        """
        everywhere = everywhere or await look_everywhere(self._store)
        self._names = await self._queues.names()
        calls = await self._read_and_left(p, self._names)
        calls += await self._without_entry(p, everywhere)
        calls += await self._jobs.find(p)
        requeued = await self._requeue(calls)
        await self._bury(p, self._names)
        return requeued

    async def glance(self, p: Partition) -> int:
        """The same for tasks that were read, but never taken, alone."""
        return await self._requeue(await self._read_and_left(p, self._names))

    async def _requeue(self, calls: Sequence[Call]) -> int:
        answers = await run_apart(self._store, calls)
        requeued = sum(1 for a in answers if isinstance(a, list) and a[0] == b"ok")
        self._metrics.requeued(requeued)
        return requeued

    # -- read, but never taken -------------------------------------------------------------------

    async def _read_and_left(self, p: Partition, names: Sequence[str]) -> list[Call]:
        """The entries that were read and not taken at the last look, and are so still.

        How long a group says that they are idle is real time, and decides nothing: a simulated
        namespace has a time of its own (design 5.7). Nor does being found here: the script looks
        at the run's state, and a reader that was only slow finds its task gone.
        """
        streams = [(name, p.workflow_queue(name)) for name in names]
        streams += [(name, p.activity_queue(name)) for name in names]
        pages = await self._ask([("XPENDING", s, GROUP, "-", "+", SLICE) for _, s in streams])
        read = [
            (name, stream, bytes(item[0]).decode())
            for (name, stream), page in zip(streams, pages, strict=True)
            for item in page
        ]
        before = self._read.get(p.number, frozenset())
        self._read[p.number] = frozenset(read)
        found = [entry for entry in read if entry in before]
        bodies = await self._ask([("XRANGE", stream, entry, entry) for _, stream, entry in found])
        calls = []
        for (name, stream, entry), body in zip(found, bodies, strict=True):
            flat = body[0][1] if body else ()
            fields = {
                bytes(k): bytes(v).decode() for k, v in zip(flat[::2], flat[1::2], strict=True)
            }
            workflow = stream == p.workflow_queue(name)
            calls.append(_requeue(p, name, entry, fields, workflow=workflow))
        return calls

    async def _ask(self, commands: Sequence[tuple[Arg, ...]]) -> list[Any]:
        """Read; a stream or group that does not exist reads as empty."""
        answers = await self._store.ask(*commands) if commands else []
        return [() if isinstance(a, Exception) or a is None else a for a in answers]

    # -- queued, but in no stream ----------------------------------------------------------------

    async def _without_entry(self, p: Partition, everywhere: Everywhere) -> list[Call]:
        """The queued tasks of a slice of the open runs whose entries are gone."""
        runs = await self._open_runs(p)
        ids = [run.route.run_id for run in runs]
        ghosts = await self._ghosts.find(p, ids, somebody_waits=everywhere.waits)
        await run_apart(self._store, ghosts)
        last = self._cursor.get(p.number, OPEN[0]) == OPEN[0]
        lost = await self._lost_requests.find(p, ids, everywhere.epochs, last=last)
        await run_apart(self._store, lost)
        queued = await self._queued_activities(p, runs)
        tasks = [run for run in runs if run.task == "queued"]
        commands: list[tuple[Arg, ...]] = [
            ("XRANGE", p.workflow_queue(t.route.queue), t.entry, t.entry) for t in tasks
        ]
        commands += [("XRANGE", p.activity_queue(a.queue), a.entry, a.entry) for a in queued]
        there = await self._ask(commands)
        calls = [
            transitions.requeue_task(route=task.route, turn=task.turn)
            for task, entry in zip(tasks, there, strict=False)
            if not entry
        ]
        calls += [
            attempts.queue_activity(
                partition=p,
                run_id=a.run.route.run_id,
                queue=a.queue,
                seq=a.seq,
                attempt=a.attempt,
                state="q",
            )
            for a, entry in zip(queued, there[len(tasks) :], strict=True)
            if not entry
        ]
        return calls

    async def _open_runs(self, p: Partition) -> list[_Run]:
        low, high = OPEN
        start = self._cursor.get(p.number, low)
        (members,) = await self._store.read(("ZRANGEBYLEX", p.vis, start, high, "LIMIT", 0, SLICE))
        full = len(members) == SLICE
        self._cursor[p.number] = "(" + bytes(members[-1]).decode() if full else low
        ids = [bytes(m).rpartition(b"\0")[2].decode() for m in members]
        if not ids:
            self.stuck.seen(p.number, (), last=True)
            self.long.seen(p.number, (), last=True)
            return []
        read = await self._store.ask(*(("HMGET", p.run(i), *_READ) for i in ids))
        # (what is damaged of one run keeps nobody from the tasks of the others)
        there = [(i, fields) for i, fields in zip(ids, read, strict=True) if _makes_sense(fields)]
        ids, hashes = [i for i, _ in there], [fields for _, fields in there]
        signs = [Sign(p, run, *fields[5:7]) for run, fields in zip(ids, hashes, strict=True)]
        self.stuck.seen(p.number, await reasons(self._store, signs), last=not full)
        sizes = [(int(fields[7] or 0), int(fields[8] or 0)) for fields in hashes]
        self.long.seen(p.number, sizes, last=not full)
        runs = []
        for run_id, fields in zip(ids, hashes, strict=True):
            workflow_id, queue, task, entry, turn = (bytes(f or b"").decode() for f in fields[:5])
            if workflow_id:
                self._queues.met(queue)
                route = Route(p, workflow_id, run_id, queue)
                runs.append(_Run(route, task, entry or "0", int(turn or 0)))
        return runs

    async def _queued_activities(self, p: Partition, runs: Sequence[_Run]) -> list[_Queued]:
        """The queued activities of a page of what each run waits for; the next visit goes on."""
        ids = [run.route.run_id for run in runs]
        if len(self._pages) > PAGE:
            self._pages.clear()  # of runs that closed meanwhile; the others begin again
        pages = await self._ask(
            [
                ("HSCAN", p.pend(i), self._pages.pop(i, 0), "MATCH", "a:*", "COUNT", PAGE)
                for i in ids
            ]
        )
        queued = []
        for run, page in zip(runs, pages, strict=True):
            cursor, flat = page or (b"0", ())
            if bytes(cursor) != b"0":
                self._pages[run.route.run_id] = bytes(cursor).decode()
            for name, value in zip(flat[::2], flat[1::2], strict=True):
                record = parse_record(value)
                if record.state == "q":
                    queued.append((run, bytes(name).decode()[2:], record))
        texts = await self._ask(
            [("HGET", p.pend(run.route.run_id), f"o:{seq}") for run, seq, _ in queued]
        )
        found = []
        for (run, seq, record), text in zip(queued, texts, strict=True):
            queue = str(orjson.loads(text or b"{}").get("queue") or run.route.queue)
            self._queues.met(queue)
            found.append(_Queued(run, seq, record.attempt, queue, record.token or "0"))
        return found

    # -- workers that are gone -------------------------------------------------------------------

    async def _bury(self, p: Partition, names: Sequence[str]) -> None:
        """Remove workers whose own record has expired; what they left behind goes to others."""
        namespace = self._store.namespace
        streams = [s for name in names for s in (p.workflow_queue(name), p.activity_queue(name))]
        listed, *consumers = await self._ask(
            [
                ("ZRANGE", keys.workers(namespace), 0, -1),
                *(("XINFO", "CONSUMERS", stream, GROUP) for stream in streams),
            ]
        )
        workers = {bytes(name).decode() for name in listed}
        workers.update(bytes(found[1]).decode() for page in consumers for found in page)
        ordered = sorted(workers)
        alive = await self._ask([("EXISTS", keys.worker(namespace, worker)) for worker in ordered])
        dead = [worker for worker, there in zip(ordered, alive, strict=True) if there == 0][:SLICE]
        gone = await drop_workers(self._store, [(p, worker) for worker in dead], names)
        await self._strike_off(p, {worker for _, worker in gone if worker.encode() in listed})

    async def _strike_off(self, p: Partition, gone: set[str]) -> None:
        """Take workers off the list of the living once every partition is rid of them."""
        for worker in gone:
            self._buried.setdefault(worker, set()).add(p.number)
        everywhere = len(self._store.partitions)
        done = [worker for worker, rid in self._buried.items() if len(rid) == everywhere]
        if done:
            await self._store.read(("ZREM", keys.workers(self._store.namespace), *done))
            self._metrics.workers_removed(len(done))
        self._buried = {w: rid for w, rid in self._buried.items() if w in gone and w not in done}


def _makes_sense(fields: Any) -> bool:
    """Whether what was read of a run (``_READ``, or an error) can be what was written of it."""
    try:
        for text in fields[:4]:
            bytes(text or b"").decode()
        return all(int(number or 0) >= 0 for number in (*fields[4:5], *fields[7:]))
    except (TypeError, ValueError):
        return False


def _requeue(
    p: Partition, queue: str, entry: str, fields: dict[bytes, str], *, workflow: bool
) -> Call:
    """The call that queues again what an entry stands for; an empty one only leaves the group."""
    run_id = fields.get(b"r", "")
    if workflow:
        route = Route(p, fields.get(b"w", ""), run_id, queue)
        return transitions.requeue_task(route=route, turn=int(fields.get(b"t", 0)), entry=entry)
    return attempts.queue_activity(
        partition=p,
        run_id=run_id,
        queue=queue,
        seq=fields.get(b"s", "0"),
        attempt=int(fields.get(b"n", 0)),
        state="q",
        entry=entry,
    )
