"""A child's start as it arrives: a new run, the run that has its workflow id, or in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from luaflow.domain import messages
from luaflow.domain.attributes import indexed
from luaflow.domain.failure import terminated
from luaflow.store import delivery
from luaflow.store.delivery import Stamp
from luaflow.store.gate import Gate
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.transitions import Indexed, Route

REASON = "a new run of its workflow id was started"


def child_start(
    stamp: Stamp,
    mail: Mapping[str, Any],
    existing: Route,
    *,
    running: bool,
    parent: Mapping[str, Any] | None,
    no: bytes,
    gate: Gate | None = None,
) -> tuple[Call, tuple[int, ...]]:
    """The call for a child's start, and the partitions it may put a message for.

    ``existing`` is the run that has the workflow id, ``parent`` that one's; ``gate`` is what the
    child's first task waits for, ``no`` is the answer when the child cannot be.
    """
    conflict = mail.get("conflict", "fail")
    if running and conflict == "use_existing":
        return _to_existing(existing, stamp, mail), (stamp.sender,)
    if running and conflict == "terminate_existing":
        told = (int(parent["p"]),) if parent else ()
        return _make_way(existing, stamp, parent), told
    asked = (gate.receiver,) if gate and gate.ask else ()
    return _start(existing, stamp, mail, gate, no), (stamp.sender, *asked)


def _child(mail: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    return {
        "seq": mail["seq"],
        "pid": mail["pid"],
        "workflow_id": str(mail["workflow_id"]),
        "run_id": run_id,
    }


def _messages(mail: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    return [(str(kind), orjson.dumps(body)) for kind, body in mail.get("messages", ())]


def _start(at: Route, stamp: Stamp, mail: Mapping[str, Any], gate: Gate | None, no: bytes) -> Call:
    run_id, started = str(mail["run_id"]), mail["started"]
    child = _child(mail, run_id)
    yes = messages.outcome(mail["from"], "ChildWorkflowExecutionStarted", child, final=False)
    return delivery.deliver_start(
        route=Route(at.partition, str(mail["workflow_id"]), run_id, str(mail["queue"])),
        stamp=stamp,
        type=str(mail["type"]),
        bundle=str(mail["bundle"]),
        parent=str(mail.get("parent", "")),
        conflict=str(mail.get("conflict", "fail")),
        reuse=str(mail.get("reuse", "")),
        delay=int(mail.get("delay", 0)),
        run_timeout=int(mail.get("run_timeout", 0)),
        deadline=int(mail.get("deadline", 0)),
        at=int(mail.get("at", 0)),
        limit=int(started.get("task_timeout_ms", 0)),
        indexed=Indexed(*indexed(started.get("search_attributes") or {})),
        yes=yes,
        no=no,
        started=orjson.dumps(started),
        messages=_messages(mail),
        gate=gate,
    )


def _to_existing(at: Route, stamp: Stamp, mail: Mapping[str, Any]) -> Call:
    p, wid, rid, queue, sticky = at
    child = {**_child(mail, rid), "existing": True}
    yes = messages.outcome(mail["from"], "ChildWorkflowExecutionStarted", child)
    keys = [p.meta, p.wf(wid), p.run(rid), p.hist(rid), p.leases, p.timers]
    keys += [p.workflow_queue(queue), p.sticky(sticky)]
    keys += [p.mark(stamp.sender), p.outbox(stamp.sender)]
    args: list[Arg] = [*stamp, rid, queue, sticky, yes]
    for kind, body in _messages(mail):
        args += [kind, body]
    return Call(load("deliver_to_existing"), keys, args)


def _make_way(at: Route, stamp: Stamp, parent: Mapping[str, Any] | None) -> Call:
    p, wid, rid, _, _ = at
    told, receiver = b"", 0
    if parent:
        slot = {"failure": terminated().to_json()}
        told = messages.child_outcome(parent, wid, rid, "terminated", slot)
        receiver = int(parent["p"])
    keys = [*p.of_run(wid, rid), p.leases, p.timers, p.vis, p.gc]
    keys += [p.mark(stamp.sender), p.outbox(receiver)]
    body = orjson.dumps({"reason": REASON})[:-1]
    args: list[Arg] = [*stamp, rid, body, receiver if parent else "", told]
    return Call(load("make_way"), keys, args)
