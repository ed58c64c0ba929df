"""Requests of open runs that nobody will answer any more: found after a fail-over, and settled.

The partitions of a cluster are on several servers, which lose different writes where the durability
is ``fast``: a request, what it did, or its answer may be gone. What is on its way is in an outbox,
and only moves forward: the question's outbox, its target, the answer's outbox, the run. So they are
read in this order, and the script that acts sees that the run has heard nothing meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from luaflow.domain import locks, messages
from luaflow.domain.events import CHILD_EVENT
from luaflow.domain.failure import Failure
from luaflow.domain.ids import partition_of
from luaflow.domain.sealed import MARK
from luaflow.observe.logs import run_fields
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.lost_requests import Pending, ask_again, settle_request
from luaflow.store.past import read_events
from luaflow.store.store import Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

AT_ONCE = 20
"""Requests looked at in one visit of a partition; the others come with the next rounds."""
REQUESTS = 1000
"""Requests of a run that are read in one visit."""
UNDER_WAY = 500
"""Messages of an outbox that are looked through; in a longer one anything may be under way."""
LONGEST = 10_000
"""Events of a run that are read; one that has more keeps its requests as they are."""
EXTERNAL = {
    "signal": "SignalExternalWorkflowExecutionFailed",
    "cancel": "RequestCancelExternalWorkflowExecutionFailed",
    "terminate": "TerminateExternalWorkflowExecutionFailed",
}
CHILD_ENDS = frozenset({*CHILD_EVENT.values(), "StartChildWorkflowExecutionFailed"})
Answer = tuple[str, Mapping[str, Any], bool]
"""An event, its body without ``seq``, and whether the request is over with it."""


class _Request(NamedTuple):
    """A pending request, its record parsed, and the partition it went to."""

    route: Route
    task: str
    seq: int
    raw: bytes
    record: Mapping[str, Any]
    to: int


@dataclass
class _Round:
    """A way round the open runs of a partition, under these epochs; ``fine``: nothing is lost."""

    epochs: tuple[Any, ...]
    whole: bool = False
    fine: set[tuple[str, int]] = field(default_factory=set)


class LostRequests:
    """Looks at the requests of open runs until a whole round after the last fail-over is done.

    A server that stays what it was loses nothing: there is nothing to look for then.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._done: dict[int, tuple[Any, ...]] = {}
        self._rounds: dict[int, _Round] = {}

    async def find(
        self, p: Partition, run_ids: Sequence[str], epochs: tuple[Any, ...], *, last: bool
    ) -> list[Call]:
        """The calls that settle requests of these open runs; ``last``: the round ends with them.

        ``epochs`` are those of all partitions, read before the runs.
        """
        if self._done.get(p.number) == epochs:
            return []
        now = self._rounds.get(p.number)
        if now is None or now.epochs != epochs:
            now = self._rounds[p.number] = _Round(epochs)
        found = await self._requests(p, run_ids)
        todo = [r for r in found if (r.route.run_id, r.seq) not in now.fine]
        calls = []
        for request in todo[:AT_ONCE]:
            call = await self._call(request)
            if call:
                text, route = "run %s: request %d was lost", request.route
                log.warning(text, route.run_id, request.seq, extra=run_fields(route))
                calls.append(call)
            else:
                now.fine.add((request.route.run_id, request.seq))
        if calls or len(todo) > AT_ONCE:
            now.whole = False
        if last and now.whole:
            self._done[p.number] = epochs
            del self._rounds[p.number]
        elif last:
            now.whole = True
        return calls

    async def _requests(self, p: Partition, run_ids: Sequence[str]) -> list[_Request]:
        """The requests that wait for something, of these runs."""
        answers = await self._store.ask(
            *(("HMGET", p.run(i), "wid", "queue", "sticky", "task") for i in run_ids),
            *(("HSCAN", p.pend(i), 0, "MATCH", "c:*", "COUNT", REQUESTS) for i in run_ids),
        )
        found = []
        count = len(self._store.partitions)
        for run_id, state, page in zip(
            run_ids, answers[: len(run_ids)], answers[len(run_ids) :], strict=True
        ):
            if isinstance(state, Exception) or isinstance(page, Exception) or not state[0]:
                continue
            wid, queue, sticky, task = (bytes(f or b"").decode() for f in state)
            route = Route(p, wid, run_id, queue, sticky)
            for name, raw in zip(page[1][::2], page[1][1::2], strict=True):
                record = orjson.loads(raw)
                target = record.get("key") or record.get("workflow_id") or ""
                to = partition_of(str(target), count)
                seq = int(bytes(name)[2:])
                found.append(_Request(route, task, seq, bytes(raw), record, to))
        return found

    async def _call(self, request: _Request) -> Call | None:
        """What settles a request; None where it is on its way, or where all is well."""
        p, there = request.route.partition, self._store.partitions[request.to]
        (sent,) = await self._store.read(("HGET", p.meta, f"out:{there.number}"))
        if await self._under_way(p, there, request, question=True):
            return None
        lock = request.record.get("kind") == "lock"
        target = await (self._entity(there, request) if lock else self._run(there, request))
        if await self._under_way(there, p, request, question=False):
            return None
        events = await self._events(request)
        if events is None:
            return None
        length, told = events
        pending = Pending(request.route, request.seq, request.raw, length)
        if lock:
            return _of_lock(request, pending, told, target, int(sent or 0))
        if request.record.get("kind") == "child":
            answer = await self._of_child(there, request, told, target)
        else:
            answer = _of_message(request, target)
        if answer is None:
            return None
        kind, body, final = answer
        body = {"seq": request.seq, **body}
        return settle_request(pending, kind, orjson.dumps(body), final=final)

    async def _under_way(
        self, sender: Partition, receiver: Partition, request: _Request, *, question: bool
    ) -> bool:
        """Whether an outbox has the question, or an answer to it; a very long one may have it."""
        (page,) = await self._store.read(
            ("XRANGE", sender.outbox(receiver.number), "-", "+", "COUNT", UNDER_WAY)
        )
        if len(page) == UNDER_WAY:
            return True
        for _, flat in page:
            mail = orjson.loads(dict(zip(flat[::2], flat[1::2], strict=True))[b"m"])
            who = (mail.get("from") or {}) if question else mail
            if who.get("run_id") != request.route.run_id:
                continue
            if mail.get("k") == "slot" or mail.get("seq") == request.seq:
                return True
        return False

    async def _entity(self, there: Partition, request: _Request) -> Mapping[str, Any]:
        """What a lock knows of the run: whether it has it, or stands in line."""
        key = str(request.record["key"])
        held, line = await self._store.read(
            ("ZSCORE", there.held(key), _member(request)),
            ("ZSCORE", there.line(key), _member(request)),
        )
        return {"held": held is not None, "line": line is not None}

    async def _run(self, there: Partition, request: _Request) -> Mapping[str, Any]:
        """What the partition of another workflow knows of it."""
        wid = str(request.record["workflow_id"])
        (found,) = await self._store.read(("HMGET", there.wf(wid), "run", "status"))
        run_id, status = (bytes(f or b"").decode() for f in found)
        if not run_id:
            return {}
        (parent,) = await self._store.read(("HGET", there.run(run_id), "parent"))
        return {"run_id": run_id, "status": status, "parent": orjson.loads(parent or b"{}")}

    async def _events(self, request: _Request) -> tuple[int, dict[str, Mapping[str, Any]]] | None:
        """The length of the run's history, and its events about the request, by type."""
        length, told = 0, dict[str, Mapping[str, Any]]()
        p, _, run_id, *_ = request.route
        while page := await read_events(self._store, p, run_id, length + 1):
            told |= {e.type: e.body for e in page if e.body.get("seq") == request.seq}
            length = page[-1].id
            if length > LONGEST:
                return None
        return length, told

    async def _of_child(
        self,
        there: Partition,
        request: _Request,
        told: Mapping[str, Mapping[str, Any]],
        target: Mapping[str, Any],
    ) -> Answer | None:
        """What a parent did not hear of its child: that it began, how it ended, that it is lost."""
        if told.keys() & CHILD_ENDS:
            return None  # it has heard since its requests were read
        wid, run_id = str(request.record["workflow_id"]), str(target.get("run_id", ""))
        parent, begun = target.get("parent") or {}, told.get("ChildWorkflowExecutionStarted")
        me = (request.route.run_id, request.seq)
        if (parent.get("run_id"), parent.get("seq")) == me:
            child = {"pid": parent["pid"], "workflow_id": wid, "run_id": run_id}
            if begun is None:
                return "ChildWorkflowExecutionStarted", child, False
            if target["status"] == "running":
                return None
            return await self._ended(there, parent, wid, target)
        if begun is None and target.get("status") == "running":
            failure = messages.exists_already(wid).to_json()
            return "StartChildWorkflowExecutionFailed", {"failure": failure}, True
        text = f"the child workflow '{wid}' was lost when its server failed over"
        slot = {"failure": Failure("NotFound", text, retryable=True).to_json()}
        if begun is None:
            return "StartChildWorkflowExecutionFailed", slot, True
        child = {k: begun[k] for k in ("pid", "workflow_id", "run_id")}
        return CHILD_EVENT["failed"], {**child, **slot}, True

    async def _ended(
        self, there: Partition, parent: Mapping[str, Any], wid: str, target: Mapping[str, Any]
    ) -> Answer | None:
        """How a child ended, as its own history says."""
        run_id, status = str(target["run_id"]), str(target["status"])
        if status not in CHILD_EVENT:
            return None  # another run of its chain follows
        (length,) = await self._store.read(("HGET", there.run(run_id), "len"))
        events = await read_events(self._store, there, run_id, int(length or 1))
        body = events[-1].body if events else {}
        slot: dict[str, Any] = {k: body[k] for k in ("result", "failure") if k in body}
        if not slot or MARK in events[-1].raw:
            text = f"how the child workflow '{wid}' ended is in its history alone ({status})"
            slot = {"failure": Failure("Unavailable", text, retryable=False).to_json()}
        told = orjson.loads(messages.child_outcome(parent, wid, run_id, status, slot))
        return str(told["type"]), told["body"], True


def _member(request: _Request) -> str:
    me = {"p": request.route.partition.number, "run_id": request.route.run_id}
    return str(request.record.get("member") or locks.member_of(me, request.seq))


def _of_lock(
    request: _Request,
    pending: Pending,
    told: Mapping[str, Mapping[str, Any]],
    target: Mapping[str, Any],
    sent: int,
) -> Call | None:
    """What a run did not hear of its lock, or has to ask once more."""
    if target["line"] or locks.GRANTED in told:
        return None
    wid, record = request.route.workflow_id, request.record
    me = {"p": request.route.partition.number, "workflow_id": wid, "run_id": request.route.run_id}
    asked = told.get("LockRequested")
    if asked and target["held"]:
        body = orjson.dumps({"seq": request.seq})
        return settle_request(pending, locks.GRANTED, body, final=False)
    key, limit = str(record["key"]), int(record["limit"])
    if asked:
        message = locks.ask(me, request.seq, key, limit, wait=bool(asked["wait"]))
        return ask_again(pending, request.to, sent, message)
    if request.task != "waiting" or "slot" not in record:
        return None
    ask = orjson.loads(locks.ask(me, 0, key, limit, wait=bool(record["wait"])))
    message = orjson.dumps({**ask, "slot": record["slot"]})
    return ask_again(pending, request.to, sent, message)


def _of_message(request: _Request, target: Mapping[str, Any]) -> Answer | None:
    """What a run did not hear of its message to another one: nobody knows whether it arrived."""
    wid, kind = str(request.record["workflow_id"]), EXTERNAL.get(str(request.record.get("kind")))
    if kind is None:
        return None
    failure = messages.not_running(wid)
    if target.get("status") == "running":
        text = f"whether workflow '{wid}' has the message is not known: a server failed over"
        failure = Failure("Unavailable", text, retryable=True)
    return kind, {"failure": failure.to_json()}, True
