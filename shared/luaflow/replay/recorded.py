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


_new = tuple.__new__


class Recorded(NamedTuple):
    """One command of a past decision: what it was, its number, what it named, and its event."""

    op: str
    seq: int
    name: str
    event: Event


def recorded_of(event: Event) -> Recorded | None:
    """Return the command an event records; None for an event that is no command's."""
    known = _OPS.get(event.type)
    if known is not None:
        op, field = known
        body = event.body
        name = str(body[field]) if field else ""
        # (a history has thousands: past the constructor, which is written in Python)
        return _new(Recorded, (op, body.get("seq", 0), name, event))
    if event.type == "MarkerRecorded":
        body = event.body
        marker = body["marker"]
        if marker in ("version", "local_activity", "tell"):
            return Recorded(marker, body["seq"], body["name"], event)
        return Recorded("marker", body["seq"], marker, event)
    if event.type == SIGNALED:  # a message that the run sent to itself
        return Recorded("signal", event.body["seq"], str(event.body["from"]), event)
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
    decided: Event | None = None
    commands: list[Recorded] = []
    closing: Event | None = None
    for event in events:
        kind = event.type
        begins = kind == TASK_COMPLETED
        if decided is not None and (begins or (kind in NEWS and not _to_itself(event))):
            yield _turn(decided, commands, closing)
            decided = None
        if begins:
            decided, commands, closing = event, [], None
        elif decided is not None:
            command = recorded_of(event)
            if command is not None:
                commands.append(command)
            if kind in CLOSING:
                closing = event
    if decided is not None:
        yield _turn(decided, commands, closing)


def _to_itself(event: Event) -> bool:
    """Whether a message is one that the run sent to itself: written with its decision."""
    return event.type == SIGNALED and "seq" in event.body


def _turn(decided: Event, commands: list[Recorded], closing: Event | None) -> Turn:
    if decided.body.get("continued") and all(c.op != "continue_as_new" for c in commands):
        commands.append(Recorded("continue_as_new", 0, "", decided))
    return Turn(decided, decided.body["seen"], commands, closing)
