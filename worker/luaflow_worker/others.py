"""Messages to other workflows, to processes and to oneself: signals, cancel requests, ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from luaflow.domain.failure import Failure, Invalid
from luaflow.domain.ids import parse_pid, partition_of
from luaflow.domain.messages import letter_to
from luaflow.lua.vm import Command

if TYPE_CHECKING:
    from luaflow_worker.proposal import Proposal

SIGNALED = "WorkflowExecutionSignaled"
_EVENTS = {
    "signal": (
        "SignalExternalWorkflowExecutionInitiated",
        "ExternalWorkflowExecutionSignaled",
        "SignalExternalWorkflowExecutionFailed",
    ),
    "cancel": (
        "RequestCancelExternalWorkflowExecutionInitiated",
        "ExternalWorkflowExecutionCancelRequested",
        "RequestCancelExternalWorkflowExecutionFailed",
    ),
    "terminate": (
        "TerminateExternalWorkflowExecutionInitiated",
        "ExternalWorkflowExecutionTerminated",
        "TerminateExternalWorkflowExecutionFailed",
    ),
}

_LETTERS = {"signal": "message", "cancel": "cancel", "terminate": "terminate"}
"""What a command is called in the letter of a process."""


def tell_other(proposal: Proposal, c: Command) -> None:
    """Signal, cancel or terminate another workflow; what cannot be sent is answered as refused."""
    initiated, ok, failed = _EVENTS[c.op]
    to = (c.name or b"").decode(errors="replace")
    extra = orjson.loads(c.extra or b"{}")
    named = proposal.types.pids.get(to, to)
    pid = parse_pid(named)
    target = pid.uniq if pid else proposal.place.children.get(extra.get("child", 0))
    try:
        if target is None:
            raise Invalid(f"could not resolve '{to}' as PID or registered name")
        if to != proposal.place.pid:  # a message to oneself has been answered already
            proposal.place.check_size(c.data or b"", f"the message to {to}")
    except Invalid as error:
        kind = "NotFound" if target is None else "Invalid"
        answer = {"seq": c.seq, "failure": Failure(kind, str(error), retryable=False).to_json()}
        told = proposal.record({"seq": c.seq, "to": to})
        proposal.answer_myself(c.seq, initiated, told, failed, answer)
        return
    said = _said(c, extra)
    if c.op == "signal" and to == proposal.place.pid:
        _tell_myself(proposal, c.seq, said)
        return
    body = proposal.record({"seq": c.seq, "to": to, **said})
    if pid and pid.is_process:  # it has a name; PIDs of processes come as ``tell``
        proposal.answer_myself(c.seq, initiated, body, ok, {"seq": c.seq})
        letter = {**extra, "kind": _LETTERS[c.op], "to": named, "from": proposal.place.pid}
        _post(proposal, pid.node, ("", b""), {**letter, **_input(c)})
        return
    message: dict[str, Any] = {"k": "message", "from": proposal.me, "seq": c.seq}
    message |= {"ok": ok, "failed": failed, "workflow_id": target}
    if c.op == "terminate":
        message |= {"k": "end", "body": {"reason": f"terminated by {proposal.place.pid}"}}
    else:
        kind = SIGNALED if c.op == "signal" else "WorkflowExecutionCancelRequested"
        trace = {"headers": proposal.place.headers} if proposal.place.headers else {}
        message |= {"type": kind, "body": {**said, "from": proposal.place.pid, **trace}}
    record = {"kind": c.op, "workflow_id": target}
    proposal.request(c.seq, initiated, body, target, orjson.dumps(message), record)


def _said(c: Command, extra: dict[str, Any]) -> dict[str, Any]:
    if c.op == "signal":
        return {"name": extra.get("topic", ""), "input": orjson.Fragment(c.data or b"[]")}
    return {"reason": extra.get("reason")} if c.op == "cancel" else {}


def _tell_myself(proposal: Proposal, seq: int, said: dict[str, Any]) -> None:
    """A message to oneself is there with the commit (design 5.2).

    It is the record of the command, too: other messages have no ``seq``.
    """
    body = proposal.record({"seq": seq, **said, "from": proposal.place.pid})
    proposal.operations += ["S", SIGNALED, body]
    proposal.to_self = True


def tell_process(proposal: Proposal, c: Command) -> None:
    """A letter to a process of a node: the code went on already, it leaves with the commit."""
    to = (c.name or b"").decode(errors="replace")
    pid, said = parse_pid(to), orjson.loads(c.extra or b"{}")
    said |= _input(c)
    body = proposal.record({"seq": c.seq, "marker": "tell", "name": to, "value": said})
    node = pid.node if pid else ""  # (the kernel tells no others)
    letter = {**said, "to": to, "from": proposal.place.pid}
    _post(proposal, node, ("MarkerRecorded", body), letter)


def _input(c: Command) -> dict[str, Any]:
    return {} if c.data is None else {"input": orjson.Fragment(c.data)}


def _post(
    proposal: Proposal, node: str, event: tuple[str, bytes], letter: Mapping[str, Any]
) -> None:
    """A letter, and the event that says so; a type '' where another event does."""
    receiver = partition_of(node, proposal.place.partitions)
    key = proposal.key(proposal.place.route.partition.outbox(receiver))
    proposal.operations += ["M", *event, key, receiver, letter_to(node, letter)]
    proposal.receivers.add(receiver)
