"""From what the code asks for to what the commit script is told: events and operations.

Pure: a ``Proposal`` is built from a decision and the place the run has in the world; nothing is
read or written here. Bodies keep the JSON that the code's door wrote (``orjson.Fragment``), byte
for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import orjson

from luaflow.domain import failure as failures
from luaflow.domain.attributes import indexed
from luaflow.domain.chains import End, closing_body
from luaflow.domain.failure import Failure
from luaflow.domain.ids import partition_of
from luaflow.domain.lanes import activity_lane, base_of
from luaflow.domain.messages import child_outcome, outcome
from luaflow.domain.options import USUAL, ActivityOptions, parse_activity_options
from luaflow.domain.retry import RetryPolicy
from luaflow.lua.vm import Command
from luaflow.replay.decider import Decision
from luaflow.store.transitions import COMMIT_KEYS
from luaflow_worker import told
from luaflow_worker.children import Types, start_child
from luaflow_worker.faults import EngineFault
from luaflow_worker.locks import ask_for_lock, give_lock_back
from luaflow_worker.metrics import Outcome
from luaflow_worker.others import tell_other, tell_process
from luaflow_worker.place import Place

ENVELOPE_BYTES = 65_536
"""What an event may have besides its payload: names, options, context."""


UNREAD_IDS = 500
"""Unread messages that a run names one by one."""


class Eager(NamedTuple):
    """An activity this worker keeps: it starts with the commit, under this token."""

    seq: int
    activity: str
    input: bytes
    token: str
    options: ActivityOptions
    context: dict[str, Any]


class Proposal:
    """The events and operations of one decision, in order, and what follows from its commit."""

    def __init__(
        self,
        place: Place,
        types: Types,
        keep: Callable[[str, ActivityOptions], str | None],
        first_key: int = COMMIT_KEYS,
    ) -> None:
        """``keep(activity, options)`` returns a token when this worker runs the activity itself.

        ``first_key``: how many keys the script has before those that operations name.
        """
        self.place = place
        self.types = types
        self.operations: list[Any] = []
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        self.eager: list[Eager] = []
        self.receivers: set[int] = set()
        self.to_self = False
        self.status: Outcome = "continued_as_new"
        self._keep = keep
        self._first_key = first_key

    def key(self, name: str) -> int:
        """Return the KEYS index of a key that an operation names."""
        if name not in self.keys:
            self.keys.append(name)
        return self._first_key + 1 + self.keys.index(name)

    def add(self, decision: Decision) -> None:
        """Spell out the commands of a decision."""
        for command in decision.commands:
            if command.op != "continue_as_new":
                _SPELL[command.op](self, command)
        for one in decision.notes:
            told.note(self, one)
        if decision.status == "wait" and decision.unread is not None:
            self._unread(decision.unread)

    # -- activities and timers -------------------------------------------------------------------

    def activity(self, c: Command) -> None:
        """An activity: kept by this worker, or put into the queue."""
        name, data = _text(c.name), c.data or b"[]"
        given = _json(c.extra) or {}
        context = self.place.started.get("context") or {}
        if "context" in given:
            context = {**context, **(given.pop("context") or {})}
        try:
            defaults = self.place.activity_options.get(name)
            options, _ = parse_activity_options(name, given, defaults)
            self.place.check_size(data, f"the arguments of {name}")
        except failures.Invalid as error:
            return self._refuse_activity(c.seq, name, error.failure())
        body: dict[str, Any] = {"seq": c.seq, "activity": name, "input": orjson.Fragment(data)}
        queue = own = self.place.route.queue
        if options is not USUAL:
            queue = activity_lane(options, own)
        if queue != own and base_of(queue) != base_of(own):
            body["task_queue"] = base_of(queue)
        if given:
            body["options"] = given
        if context:
            body["context"] = context
        if self.place.headers:
            body["headers"] = self.place.headers
        text = self.record(body)
        stored = _stored_options(options, queue if queue != own else "")
        limits = (options.start_to_close_ms, options.heartbeat_ms or 0)
        token = self._keep(name, options) if queue == own else None
        if token:
            self.eager.append(Eager(c.seq, name, data, token, options, context))
            worker = token.partition(".")[0]
            self.operations += ["L", c.seq, text, stored, token, worker, *limits]
        else:
            self.types.use_lane(queue)
            key = self.key(self.place.route.partition.activity_queue(queue))
            self.operations += [
                "A",
                c.seq,
                text,
                stored,
                key,
                *limits,
                options.schedule_to_start_ms or 0,
            ]
        self.operations.append(options.schedule_to_close_ms or 0)
        return None

    def _refuse_activity(self, seq: int, name: str, failure: Failure) -> None:
        """A call that cannot be scheduled is answered like one that failed."""
        body = self.record({"seq": seq, "activity": name, "input": []})
        outcome = {"seq": seq, "failure": failure.to_json()}
        self.answer_myself(seq, "ActivityTaskScheduled", body, "ActivityTaskFailed", outcome)

    def cancel_activity(self, c: Command) -> None:
        """Ask for the cancellation of an activity."""
        body = self.record({"seq": c.seq, "target": int(_text(c.name))})
        self.operations += ["R", c.seq, body, _text(c.name)]

    def timer(self, c: Command) -> None:
        """A durable timer; nanoseconds are rounded up, so it never fires early."""
        ms = max(0, -(-int(c.data or b"0") // 1_000_000))
        self.operations += ["T", c.seq, self.record({"seq": c.seq, "ms": ms}), ms]

    def cancel_timer(self, c: Command) -> None:
        """A timer nobody waits for any more."""
        body = self.record({"seq": c.seq, "target": int(_text(c.name))})
        self.operations += ["t", c.seq, body, _text(c.name)]

    # -- markers and attributes ------------------------------------------------------------------

    def marker(self, c: Command) -> None:
        """A value recorded at the call: uuid, random, side effect."""
        value = orjson.Fragment(c.data or b"null")
        self._event("MarkerRecorded", {"seq": c.seq, "marker": _text(c.name), "value": value})

    def version(self, c: Command) -> None:
        """The version of a change, recorded once."""
        body = {
            "seq": c.seq,
            "marker": "version",
            "name": _text(c.name),
            "version": int(c.data or b"1"),
        }
        self._event("MarkerRecorded", body)

    def local_activity(self, c: Command) -> None:
        """The result of a local activity; it ran inside the workflow task."""
        slot = "result" if c.extra == b"1" else "failure"
        body = {"seq": c.seq, "marker": "local_activity", "name": _text(c.name)}
        self._event("MarkerRecorded", {**body, slot: orjson.Fragment(c.data or b"null")})

    def attrs(self, c: Command) -> None:
        """Search attributes and memo: shown by describe as they stand after the commit."""
        given = _json(c.extra) or {}
        self._event("UpsertWorkflowSearchAttributes", {"seq": c.seq, **given})
        for name, kept in (("search", self.place.search), ("memo", self.place.memo)):
            if isinstance(given.get(name), dict):
                kept.update(given[name])
                self.operations += [
                    "H",
                    "attrs" if name == "search" else "memo",
                    orjson.dumps(kept),
                ]
        if isinstance(given.get("search"), dict):
            self.operations += ["I", indexed(self.place.search)[0]]

    # -- other workflows -------------------------------------------------------------------------

    def child(self, c: Command) -> None:
        """Start a child workflow in its own partition."""
        start_child(self, c)

    def external(self, c: Command) -> None:
        """Signal, cancel or terminate another workflow, or signal this one."""
        tell_other(self, c)

    def tell(self, c: Command) -> None:
        """Say something to a function or process."""
        tell_process(self, c)

    @property
    def me(self) -> dict[str, Any]:
        """Return the run as the sender of a request."""
        route = self.place.route
        return {
            "p": route.partition.number,
            "workflow_id": route.workflow_id,
            "run_id": route.run_id,
        }

    def request(
        self,
        seq: int,
        event: str,
        body: bytes,
        to: str,
        message: bytes,
        record: Mapping[str, Any],
    ) -> None:
        """A request to another workflow: event, message, a record that waits for the answer."""
        receiver = partition_of(to, self.place.partitions)
        key = self.key(self.place.route.partition.outbox(receiver))
        self.operations += [
            "C",
            seq,
            event,
            body,
            key,
            receiver,
            message,
            orjson.dumps(record),
        ]
        self.receivers.add(receiver)

    def answer_myself(
        self, seq: int, event: str, body: bytes, answered: str, answer: Mapping[str, Any]
    ) -> None:
        """A request that cannot even be sent: the answer comes the way all answers come."""
        me = self.me
        self.request(
            seq, event, body, me["workflow_id"], outcome(me, answered, answer), {"kind": "none"}
        )

    # -- the end ---------------------------------------------------------------------------------

    def close(self, decision: Decision, end: End) -> None:
        """The end of the run; its parent is told, unless another run of its chain follows."""
        self.status = cast("Outcome", end.status)
        if end.following:
            return
        slot = closing_body(end, "")
        if decision.unread or self.to_self:
            # listed by the script: the ids of messages to oneself are known there only
            self._unread(decision.unread or [])
        key, receiver, message = 0, 0, b""
        if self.place.parent:
            receiver = self.place.parent["p"]
            key = self.key(self.place.route.partition.outbox(receiver))
            _, workflow_id, run_id, *_ = self.place.route
            message = child_outcome(
                self.place.parent, workflow_id, run_id, end.status, end.slot, end.state
            )
            self.receivers.add(receiver)
        self.operations += [
            "Z",
            end.status,
            end.event,
            self.record(slot),
            key,
            receiver,
            message,
            "close",
        ]

    def _unread(self, ids: Sequence[int]) -> None:
        """Say which messages up to ``seen`` the code has not taken; '>': there are more."""
        text = ",".join(map(str, ids[:UNREAD_IDS]))
        self.operations += ["U", f"{text}>" if len(ids) > UNREAD_IDS else text]

    # -- parts -----------------------------------------------------------------------------------

    def record(self, body: Mapping[str, Any]) -> bytes:
        """Return the JSON of an event body, and remember it: its size counts in the history's.

        Raises EngineFault for one that is too large and cannot be refused any more (a recorded
        value, attributes): the task fails, and says so.
        """
        text = orjson.dumps(body)
        if len(text) > self.place.payload_max + ENVELOPE_BYTES:
            what = body.get("marker") or next(iter(body.keys() - {"seq"}), "value")
            limit = f"the limit is {self.place.payload_max}: record a reference instead"
            raise EngineFault(f"the event of {what} has {len(text)} bytes; {limit}")
        self.bodies.append(text)
        return text

    def _event(self, kind: str, body: Mapping[str, Any]) -> None:
        self.operations += ["E", kind, self.record(body)]


def _stored_options(options: ActivityOptions, queue: str) -> bytes:
    """Return what schedulers must know of an activity; nothing when all is as usual.

    ``queue``: where it is when that is not the queue of its run.
    """
    kept: dict[str, Any] = {}
    if options is USUAL and not queue:
        return b""
    if queue:
        kept["queue"] = queue
    if options.schedule_to_start_ms:
        kept["s2s"] = options.schedule_to_start_ms
    if options.schedule_to_close_ms:
        kept["s2e"] = options.schedule_to_close_ms
    if options.retry_policy != RetryPolicy():
        kept["retry"] = options.retry_policy.to_json()
    return orjson.dumps(kept) if kept else b""


def _json(data: bytes | None) -> Any:
    return orjson.loads(data) if data else None


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


_SPELL: dict[str, Callable[[Proposal, Command], None]] = {
    "activity": Proposal.activity,
    "cancel_activity": Proposal.cancel_activity,
    "timer": Proposal.timer,
    "cancel_timer": Proposal.cancel_timer,
    "marker": Proposal.marker,
    "version": Proposal.version,
    "local_activity": Proposal.local_activity,
    "attrs": Proposal.attrs,
    "child": Proposal.child,
    "signal": Proposal.external,
    "cancel": Proposal.external,
    "terminate": Proposal.external,
    "tell": Proposal.tell,
    "accept_update": told.answer_update,
    "reject_update": told.answer_update,
    "complete_update": told.answer_update,
    "lock": ask_for_lock,
    "unlock": give_lock_back,
}
