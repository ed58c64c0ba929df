"""Drives the scripts of a namespace by hand: a worker, clients and schedulers without any code.

The namespace is *simulated*: its time stands until ``shift`` moves it, so nothing ever waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from tests.protocol.invariants import problems_of
from tests.support.clock import shift

from luaflow.domain import packing
from luaflow.domain.events import CLOSING_EVENT, Event
from luaflow.domain.ids import new_run_id, partition_of
from luaflow.store import attempts, transitions
from luaflow.store.attempts import Proof
from luaflow.store.chains import continue_slice
from luaflow.store.link import Arg, Call
from luaflow.store.past import compact_run, read_events
from luaflow.store.store import Store
from luaflow.store.transitions import COMMIT_KEYS, NO_REQUEST, RequestId, Route

QUEUE = "q"
LEASE = 10_000
Answer = list[Any]


class Task(NamedTuple):
    """A workflow task that was taken: by whom, under which turn, with how many events."""

    route: Route
    worker: str
    turn: int
    seen: int
    first: int


class Hand:
    """One namespace, driven by hand; ``excused``: a planted violation may leave anything."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.excused = False
        self._numbers = itertools.count(1)

    async def check(self) -> None:
        """Fail unless every invariant holds."""
        problems = await problems_of(self.store)
        assert not problems, "\n".join(problems)

    # -- ids -------------------------------------------------------------------------------------

    def id_in(self, partition: int, but: str = "") -> str:
        """A workflow id of a partition."""
        ids = (f"w{n}" for n in itertools.count())
        count = len(self.store.partitions)
        return next(i for i in ids if partition_of(i, count) == partition and i != but)

    # -- clients ---------------------------------------------------------------------------------

    async def start(self, workflow_id: str = "w", **how: Any) -> Route:
        """Start a run; ``how`` is that of ``transitions.start``."""
        p = self.store.partition(workflow_id)
        route = Route(p, workflow_id, new_run_id(), how.pop("queue", QUEUE))
        answer = await self.start_as(route, **how)
        assert answer[0] == b"started", answer
        return route

    async def start_as(self, route: Route, **how: Any) -> Answer:
        """Start the run of a route; return the script's answer."""
        body = {"v": 1, "type": "t", "workflow_id": route.workflow_id, "run_id": route.run_id}
        call = transitions.start(
            route=route, type="t", bundle="b", started=orjson.dumps(body), **how
        )
        return await self.store.one(call)

    async def tell(
        self,
        route: Route,
        name: str = "s",
        *,
        cancel: bool = False,
        request: RequestId = NO_REQUEST,
    ) -> Answer:
        """Signal a run (or ask for its cancellation), wherever it is; return the answer."""
        kind = "WorkflowExecutionCancelRequested" if cancel else "WorkflowExecutionSignaled"
        body = orjson.dumps({"reason": name} if cancel else {"name": name, "input": []})
        _, answer = await self.store.reach(
            route, lambda r: transitions.message(route=r, type=kind, body=body, request=request)
        )
        return answer

    async def tell_many(self, route: Route, names: Sequence[str]) -> None:
        """Signal a run many times at once, in order; nothing may move it meanwhile."""
        bodies = (orjson.dumps({"name": name, "input": []}) for name in names)
        kind = "WorkflowExecutionSignaled"
        answers = await self.store.run(
            *(transitions.message(route=route, type=kind, body=body) for body in bodies)
        )
        assert all(answer[0] == b"ok" for answer in answers), answers

    async def end(self, route: Route, **how: Any) -> Answer:
        """Terminate a run."""
        how = {"kind": "", "status": "terminated", "type": CLOSING_EVENT["terminated"], **how}
        return await self.store.one(transitions.end_run(route=route, body=b"{", **how))

    # -- the worker ------------------------------------------------------------------------------

    async def take(
        self, route: Route, worker: str = "a", *, cached_cid: str = "", cached: int = 0
    ) -> Task:
        """Take the run's task, from whichever stream it is in."""
        state = await self.state(route)
        stream = (
            route.partition.sticky(state["sticky"])
            if state["task"] == "sticky"
            else route.partition.workflow_queue(state["queue"])
        )
        call = transitions.take_workflow(
            partition=route.partition,
            run_id=route.run_id,
            stream=stream,
            turn=int(state["turn"]),
            worker=worker,
            entry=state["entry"] or "0-1",
            cached_cid=cached_cid,
            cached=cached,
        )
        answer = await self.store.one(call)
        assert answer[0] == b"ok", (answer, state)
        return Task(route, worker, answer[1], answer[2], answer[4])

    async def commit(
        self,
        task: Task,
        *operations: Arg,
        others: Sequence[str] = (),
        cid: str = "",
        seen: int | None = None,
        sticky: str = "",
        fused: bool = False,
        results: Sequence[tuple[int, str, str, bytes, int]] = (),
    ) -> Answer:
        """Commit a decision; keys of operations count from 10."""
        seen = task.seen if seen is None else seen
        call = transitions.commit(
            route=task.route,
            cid=cid or self.cid(task.worker),
            turn=task.turn,
            seen=seen,
            worker=task.worker,
            fused=fused,
            sticky=sticky,
            decision=orjson.dumps({"seen": seen + len(results), "worker": task.worker}),
            results=results,
            operations=operations,
            others=others,
        )
        return await self.store.one(call)

    def cid(self, worker: str) -> str:
        """A new commit id."""
        return f"{worker}.{next(self._numbers)}"

    async def idle(
        self, workflow_id: str = "w", *operations: Arg, **how: Any
    ) -> tuple[Route, Task]:
        """A run whose first decision was made, with these operations: it waits. Its next task."""
        commit = {k: how.pop(k) for k in ("others", "sticky", "cid") if k in how}
        route = await self.start(workflow_id, **how)
        task = await self.take(route)
        answer = await self.commit(task, *operations, **commit)
        assert answer[0] == b"ok", answer
        return route, task._replace(turn=answer[1], seen=answer[3])

    async def carry_on(self, task: Task, next_run: str, **how: Any) -> Answer:
        """Continue as new; ``how`` is that of ``continuing``."""
        return await self.store.one(self.continuing(task, next_run, **how))

    def continuing(
        self,
        task: Task,
        next_run: str,
        *,
        unread: Sequence[int] = (),
        operations: Sequence[Arg] = (),
        cid: str = "",
    ) -> Call:
        """The call that continues as new."""
        body = {"v": 1, "type": "t", "workflow_id": task.route.workflow_id, "run_id": next_run}
        return transitions.continue_as_new(
            route=task.route,
            cid=cid or self.cid(task.worker),
            turn=task.turn,
            seen=task.seen,
            worker=task.worker,
            decision=orjson.dumps({"seen": task.seen, "worker": task.worker, "continued": True}),
            closing=orjson.dumps({"new_run_id": next_run, "type": "t", "input": []}),
            next_run=next_run,
            type="t",
            bundle="b",
            attempt=1,
            run_timeout=0,
            started=orjson.dumps(body),
            unread=unread,
            operations=operations,
            others=(),
        )

    async def slice(self, route: Route, *, cursor: int | None = None) -> Answer:
        """Carry over a slice, as a scheduler would; ``cursor``: what it read (None: the truth)."""
        next_run = (await self.pending(route, "n:next")).decode()
        if cursor is None:
            cursor = int(await self.pending(route, "n:slices") or 0)
        return await self.store.one(continue_slice(route=route, next_run=next_run, cursor=cursor))

    async def take_activity(
        self, route: Route, seq: int = 1, *, worker: str = "a", token: str = "a.t", attempt: int = 1
    ) -> Answer:
        """Take a queued activity, as if its entry had been read."""
        record = attempts.parse_record(await self.pending(route, f"a:{seq}"))
        call = attempts.take_activity(
            partition=route.partition,
            run_id=route.run_id,
            queue=QUEUE,
            seq=str(seq),
            attempt=attempt,
            worker=worker,
            token=token,
            entry=record.token if record.state == "q" else "0-1",
        )
        return await self.store.one(call)

    async def finish(self, route: Route, seq: int, token: str) -> Answer:
        """Complete an activity."""
        body = orjson.dumps({"seq": seq, "result": 1, "attempt": 1})
        _, answer = await self.store.reach(
            route,
            lambda r: attempts.finish_activity(
                route=r, seq=str(seq), proof=Proof(token), type="ActivityTaskCompleted", body=body
            ),
        )
        return answer

    # -- the scheduler ---------------------------------------------------------------------------

    async def shift(self, ms: int) -> None:
        """Move both clocks of all partitions."""
        await shift(self.store, ms)

    async def expire(self, route: Route, score: str | None = None) -> Answer:
        """End the lease of the run's task, as a scheduler would."""
        if score is None:
            p = route.partition
            (found,) = await self.store.read(("ZSCORE", p.leases, f"w|{route.run_id}"))
            score = bytes(found).decode()
        _, answer = await self.store.reach(
            route, lambda r: transitions.expire_task(route=r, score=score, reason=b"{}")
        )
        return answer

    async def lose(self, route: Route) -> None:
        """Let the worker that took the task go silent until its lease ends."""
        await self.shift(LEASE)
        answer = await self.expire(route)
        assert answer[0] == b"ok", answer

    async def fire(self, route: Route, seq: int) -> Answer:
        """Fire a timer."""
        body = orjson.dumps({"seq": seq})
        _, answer = await self.store.reach(
            route, lambda r: transitions.fire_timer(route=r, seq=str(seq), body=body)
        )
        return answer

    async def packing(self, route: Route) -> Call:
        """The call that packs the history as it is now."""
        state, events = await self.state(route), await self.events(route)
        about = packing.about(route.run_id, [state[name].encode() for name in packing.STATED])
        data = packing.pack(events, about)
        return compact_run(partition=route.partition, about=about, events=events, packed=data)

    # -- looking ---------------------------------------------------------------------------------

    async def state(self, route: Route) -> dict[str, str]:
        """The run's hash."""
        (flat,) = await self.store.read(("HGETALL", route.partition.run(route.run_id)))
        texts = [bytes(x).decode() for x in flat]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    async def pending(self, route: Route, field: str) -> bytes:
        """A field of what the run waits for."""
        (value,) = await self.store.read(("HGET", route.partition.pend(route.run_id), field))
        return bytes(value or b"")

    async def events(self, route: Route) -> list[Event]:
        """The run's history."""
        events: list[Event] = []
        while page := await read_events(self.store, route.partition, route.run_id, len(events) + 1):
            events += page
        return events

    async def outbox(self, sender: int, receiver: int) -> list[tuple[int, int]]:
        """Number and epoch of each message that waits there."""
        key = self.store.partitions[sender].outbox(receiver)
        (entries,) = await self.store.read(("XRANGE", key, "-", "+"))
        return [(int(bytes(i).split(b"-")[0]), int(fields[1])) for i, fields in entries]

    async def types(self, route: Route) -> list[str]:
        """The types of the run's events."""
        return [event.type for event in await self.events(route)]


# -- operations of a decision ----------------------------------------------------------------------


def eager(
    seq: int, token: str = "a.t", worker: str = "a", *, limit: int = 0, beat: int = 0
) -> list[Arg]:
    """An activity that the worker keeps."""
    body = orjson.dumps({"seq": seq, "activity": "x", "input": []})
    return ["L", seq, body, b"", token, worker, limit, beat, 0]


def activity(
    seq: int, key: int = COMMIT_KEYS + 1, *, start_limit: int = 0, limit: int = 0
) -> list[Arg]:
    """An activity for the queue whose stream is the ``key``-th of KEYS."""
    body = orjson.dumps({"seq": seq, "activity": "x", "input": []})
    return ["A", seq, body, b"", key, limit, 0, start_limit, 0]


def timer(seq: int, ms: int) -> list[Arg]:
    """A timer."""
    return ["T", seq, orjson.dumps({"seq": seq, "ms": ms}), ms]


def request(
    seq: int,
    receiver: int,
    message: dict[str, Any],
    key: int = COMMIT_KEYS + 1,
    kind: str = "signal",
) -> list[Arg]:
    """A request to another workflow, into the outbox that is the ``key``-th of KEYS."""
    body = orjson.dumps({"seq": seq, "to": message["workflow_id"]})
    event = "SignalExternalWorkflowExecutionInitiated"
    record = orjson.dumps({"kind": kind, "workflow_id": message["workflow_id"]})
    return ["C", seq, event, body, key, receiver, orjson.dumps(message), record]


def close(status: str = "completed") -> list[Arg]:
    """The end of the run."""
    return ["Z", status, CLOSING_EVENT[status], b'{"result":1}', 0, 0, b"", "close"]


def completed(seq: int, token: str, ts: int) -> tuple[int, str, str, bytes, int]:
    """The result of an eager activity, for a fused step."""
    return seq, token, "ActivityTaskCompleted", orjson.dumps({"seq": seq, "result": 1}), ts
