"""What a past decision asked for, read back from the events that its commit wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from luaflow.domain.events import CLOSING, NEWS, TASK_COMPLETED, Event

SIGNALED = "WorkflowExecutionSignaled"
_OPS = {
    "ActivityTaskScheduled": ("activity", "activity"),
    "ActivityTaskCancelRequested": ("cancel_activity", "target"),
    "TimerStarted": ("timer", ""),
    "TimerCanceled": ("cancel_timer", "target"),
    "StartChildWorkflowExecutionInitiated": ("child", "workflow"),
    "SignalExternalWorkflowExecutionInitiated": ("signal", "to"),
    "RequestCancelExternalWorkflowExecutionInitiated": ("cancel", "to"),
    "TerminateExternalWorkflowExecutionInitiated": ("terminate", "to"),
    "UpsertWorkflowSearchAttributes": ("attrs", ""),
    "WorkflowExecutionUpdateAccepted": ("accept_update", "update_id"),
    "WorkflowExecutionUpdateRejected": ("reject_update", "update_id"),
    "WorkflowExecutionUpdateCompleted": ("complete_update", "update_id"),
    "LockRequested": ("lock", "key"),
    "LockReleased": ("unlock", "target"),
}


class Recorded(NamedTuple):
    """One command of a past decision: what it was, its number, what it named, and its event."""

    op: str
    seq: int
    name: str
    event: Event


def recorded_of(event: Event) -> Recorded | None:
    """Return the command an event records; None for an event that is no command's."""
    if event.type == "MarkerRecorded":
        body = event.body
        marker = body["marker"]
        if marker in ("version", "local_activity", "tell"):
            return Recorded(marker, body["seq"], body["name"], event)
        return Recorded("marker", body["seq"], marker, event)
    if event.type == SIGNALED:  # a message that the run sent to itself
        return Recorded("signal", event.body["seq"], str(event.body["from"]), event)
    known = _OPS.get(event.type)
    if known:
        op, field = known
        name = str(event.body[field]) if field else ""
        return Recorded(op, event.body.get("seq", 0), name, event)
    if event.type == "WorkflowExecutionContinuedAsNew":
        return Recorded("continue_as_new", 0, "", event)
    return None


class Turn(NamedTuple):
    """One past decision: what it saw (``seen``), what it asked for, how it left the run."""

    decided: Event
    seen: int
    commands: list[Recorded]
    closing: Event | None


def turns(events: Sequence[Event]) -> Iterator[Turn]:
    """Yield the decisions of a stretch of history, in order.

    The commands of a decision follow its WorkflowTaskCompleted without a gap: one script wrote
    both. Only the end of a run that continued as new may come later, or be another one: messages
    arrive while many are carried over.
    """
    i = 0
    while i < len(events):
        event = events[i]
        i += 1
        if event.type != TASK_COMPLETED:
            continue
        commands, closing = [], None
        while i < len(events) and _written_with(events[i]):
            if events[i].type in CLOSING:
                closing = events[i]
            command = recorded_of(events[i])
            if command:
                commands.append(command)
            i += 1
        continued = event.body.get("continued")
        if continued and not any(c.op == "continue_as_new" for c in commands):
            commands.append(Recorded("continue_as_new", 0, "", event))
        yield Turn(event, event.body["seen"], commands, closing)


def _written_with(event: Event) -> bool:
    """Whether an event behind a WorkflowTaskCompleted is of the same commit."""
    if event.type == SIGNALED:
        return "seq" in event.body
    return event.type not in NEWS and event.type != TASK_COMPLETED
