"""How messages and ends are fed to the code; ends that come together are fed together."""

from __future__ import annotations

from collections.abc import Iterator, MutableSet, Sequence
from typing import Any

from luaflow.domain.events import Event

_KIND = {
    "WorkflowExecutionSignaled": b"signal",
    "WorkflowExecutionCancelRequested": b"cancel",
    "WorkflowExecutionUpdateAdmitted": b"update",
}
MOST = 64
"""Outcomes that are fed in one call of the engine."""
MOST_BYTES = 64 * 1024
"""The bytes of their events, before the last one."""


Fed = tuple[Event, int, bytes, tuple[Any, ...]]
"""An event as it is fed: it, the size of the history up to it, the operation, its arguments."""


def message_of(event: Event, size: int) -> list[Any]:
    """Return a message as it is fed; ``size``: of the history up to it."""
    body = event.body
    return [
        event.ts,
        event.id,
        size,
        _KIND[event.type],
        body.get("name", ""),
        body.get("from", ""),
        body.get("input", []) if "input" in body else [body.get("reason")],
        body.get("update_id"),
    ]


def together(batch: Sequence[tuple[Event, int]], waiting: MutableSet[int]) -> Iterator[list[Fed]]:
    """Yield the ends of a batch in their order: outcomes in groups, others by themselves.

    ``waiting``: the numbers of children whose parents wait for their end; those that ended go.
    """
    group: list[Fed] = []
    size = 0
    for event, total in batch:
        op, args = _step_of(event, waiting)
        fed = (event, total, op, args)
        if group and (op != b"resolve" or len(group) == MOST or size > MOST_BYTES):
            yield group
            group, size = [], 0
        if op == b"resolve":
            group.append(fed)
            size += len(event.raw)
        else:
            yield [fed]
    if group:
        yield group


def _step_of(event: Event, waiting: MutableSet[int]) -> tuple[bytes, tuple[Any, ...]]:
    body = event.body
    kind, seq = event.type, body["seq"]
    if kind == "ActivityTaskCompleted":
        return b"resolve", (seq, True, body.get("result"))
    if kind == "ChildWorkflowExecutionStarted":
        return b"child_started", (seq, body["pid"], None)
    if kind == "StartChildWorkflowExecutionFailed":
        waiting.discard(seq)
        return b"child_started", (seq, None, body["failure"])
    child = kind.startswith("ChildWorkflow")
    if "failure" in body:
        ok, value = False, body["failure"]
    else:
        ok, value = True, body.get("result") if child else None
    if child and seq not in waiting:
        return b"exit", (body["pid"], ok, value)
    if child:
        waiting.discard(seq)
    return b"resolve", (seq, ok, value)
