"""The events of a history: their names (Temporal's), their classes, their shape.

An event is stored as a stream entry ``<id>-0`` with three fields: ``ts`` (milliseconds of
namespace time, set by the server), ``t`` (the type) and ``e`` (the body, JSON bytes written by
whoever proposed the event). Design 5.2 says in which order they reach the code.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

FORMAT = 1
"""Version of the event format; the first event of every history names it (field ``v``)."""

RUNTIME_VERSION = 1
"""Version of prelude, scheduler and modules that new runs begin with (``rv``; design 8)."""

AUTO_UPGRADE = "auto_upgrade"
"""How a run that moves to the newest code is marked in its first event (``versioning``)."""

STARTED = "WorkflowExecutionStarted"
TASK_COMPLETED = "WorkflowTaskCompleted"

SLOT_GRANTED = "ConcurrencySlotGranted"
"""A run that had to wait for others of its type may begin; not fed, it stands before all else."""

MESSAGES = frozenset(
    {
        "WorkflowExecutionSignaled",
        "WorkflowExecutionUpdateAdmitted",
        "WorkflowExecutionCancelRequested",
    }
)
"""Events that carry somebody's words to the run; they are fed before the rest of a batch."""

REST = frozenset(
    {
        "ActivityTaskCompleted",
        "ActivityTaskFailed",
        "ActivityTaskTimedOut",
        "ActivityTaskCanceled",
        "TimerFired",
        "ChildWorkflowExecutionStarted",
        "StartChildWorkflowExecutionFailed",
        "ChildWorkflowExecutionCompleted",
        "ChildWorkflowExecutionFailed",
        "ChildWorkflowExecutionCanceled",
        "ChildWorkflowExecutionTerminated",
        "ChildWorkflowExecutionTimedOut",
        "ExternalWorkflowExecutionSignaled",
        "SignalExternalWorkflowExecutionFailed",
        "ExternalWorkflowExecutionCancelRequested",
        "RequestCancelExternalWorkflowExecutionFailed",
        "ExternalWorkflowExecutionTerminated",
        "TerminateExternalWorkflowExecutionFailed",
        "LockGranted",
        "LockRefused",
    }
)
"""Outcomes of what the run asked for."""

NEWS = MESSAGES | REST
"""What is fed to the code after the start event; everything else is a record of a decision."""

FED = NEWS | {STARTED}
"""All that is fed to the code."""

CLOSING = {
    "WorkflowExecutionCompleted": "completed",
    "WorkflowExecutionFailed": "failed",
    "WorkflowExecutionCanceled": "canceled",
    "WorkflowExecutionTerminated": "terminated",
    "WorkflowExecutionTimedOut": "timed_out",
    "WorkflowExecutionContinuedAsNew": "continued_as_new",
}
"""The last event of a history and the status it leaves behind."""

STATUSES = ("running", *CLOSING.values())
CLOSING_EVENT = {status: name for name, status in CLOSING.items()}
CHILD_EVENT = {
    "completed": "ChildWorkflowExecutionCompleted",
    "failed": "ChildWorkflowExecutionFailed",
    "canceled": "ChildWorkflowExecutionCanceled",
    "terminated": "ChildWorkflowExecutionTerminated",
    "timed_out": "ChildWorkflowExecutionTimedOut",
}
"""What a parent's history says when its child closed so."""


@lru_cache(maxsize=200)
def type_of(text: bytes) -> str:
    """The type of an event as it is stored; one object each, so that it is hashed but once."""
    return text.decode()


class Event:
    """One event of a history: ``id`` (1..n), ``ts`` (ms), ``type``, ``raw`` (the body's bytes)."""

    __slots__ = ("_body", "id", "raw", "ts", "type")

    def __init__(self, id: int, ts: int, type: str, raw: bytes) -> None:
        """Keep the four parts; the body is decoded when first asked for."""
        self.id = id
        self.ts = ts
        self.type = type
        self.raw = raw
        self._body: dict[str, Any] | None = None

    @property
    def body(self) -> dict[str, Any]:
        """Return the decoded body: plain JSON, tagged values still tagged."""
        if self._body is None:
            self._body = orjson.loads(self.raw) if self.raw else {}
        return self._body

    def to_json(self) -> dict[str, Any]:
        """Return the public form: ``{id, ts, type, …body}`` (design 10).

        Where the body names a workflow type it is ``workflow_type``: ``type`` is the event's.
        """
        out = {"id": self.id, "ts": self.ts, "type": self.type}
        return out | {"workflow_type" if key == "type" else key: v for key, v in self.body.items()}

    def __repr__(self) -> str:
        """Show the event as one line of a history."""
        return f"<{self.id} {self.type} {self.raw.decode(errors='replace')[:120]}>"
