"""What an event says: when it is written, and the fields of its body.

Shapes stand in the code that writes them; this is their one description for people. Two tests keep
it true: each event of the code is here, and the histories of the documentation's own commands hold
no other fields.
"""

from __future__ import annotations

from typing import Final

_CHILD: Final = "seq pid workflow_id run_id"

EVENTS: Final[dict[str, tuple[str, str]]] = {
    "WorkflowExecutionStarted": (
        (
            "The run was started. `v`: format of events, `rv`: version of the runtime, `host` "
            "and `client`: the registry's entries, `bundle`: the code it is pinned to."
        ),
        (
            "v rv workflow_type workflow_id run_id first_run_id bundle task_queue host client "
            "input context attempt identity pid parent memo search_attributes run_timeout_ms "
            "execution_timeout_ms continued_from parent_close_policy retry_policy summary details "
            "request_id"
        ),
    ),
    "WorkflowExecutionSignaled": (
        "Somebody sent a signal; `from`: the PID of a workflow or function that sent it.",
        "name input from",
    ),
    "WorkflowExecutionUpdateAdmitted": (
        "An update entered the mailbox.",
        "name input update_id from",
    ),
    "WorkflowExecutionCancelRequested": ("Somebody asked the run to end.", "reason from"),
    "WorkflowTaskCompleted": (
        (
            "A worker decided on everything up to event `seen`; the events of its commands follow. "
            "`continued`: the code asked for continue-as-new; `more`: the decision was full, the "
            "next one goes on at once."
        ),
        "seen worker continued more",
    ),
    "ActivityTaskScheduled": (
        "The code called an activity; `options` as the code gave them.",
        "seq activity input task_queue options context",
    ),
    "ActivityTaskCompleted": ("The activity returned.", "seq result attempt"),
    "ActivityTaskFailed": ("Its last attempt failed, or failed for good.", "seq failure attempt"),
    "ActivityTaskTimedOut": ("One of its timeouts ended it.", "seq failure attempt"),
    "ActivityTaskCanceled": ("It was cancelled.", "seq failure attempt"),
    "ActivityTaskCancelRequested": (
        "The code asked for its end; `target`: its `seq`.",
        "seq target",
    ),
    "TimerStarted": ("The code began to wait; due `ms` after this event.", "seq ms"),
    "TimerFired": ("The timer was due.", "seq"),
    "TimerCanceled": ("The code gave the timer up; `target`: its `seq`.", "seq target"),
    "StartChildWorkflowExecutionInitiated": (
        "The code asked for a child; `wait`: it waits for the child's end at once.",
        (
            "seq workflow workflow_id input host task_queue options wait parent_close_policy "
            "context name messages watch"
        ),
    ),
    "ChildWorkflowExecutionStarted": ("The child runs.", _CHILD),
    "StartChildWorkflowExecutionFailed": ("The child could not be started.", "seq failure"),
    "ChildWorkflowExecutionCompleted": ("The child returned.", f"{_CHILD} result"),
    "ChildWorkflowExecutionFailed": ("The child failed.", f"{_CHILD} failure"),
    "ChildWorkflowExecutionCanceled": ("The child was cancelled.", f"{_CHILD} failure"),
    "ChildWorkflowExecutionTerminated": ("The child was terminated.", f"{_CHILD} failure"),
    "ChildWorkflowExecutionTimedOut": ("The child ran out of time.", f"{_CHILD} failure"),
    "SignalExternalWorkflowExecutionInitiated": (
        "The code sends a signal to another workflow, the PID or name `to`.",
        "seq to name input",
    ),
    "ExternalWorkflowExecutionSignaled": ("The signal is in the other's history.", "seq"),
    "SignalExternalWorkflowExecutionFailed": ("The other does not run.", "seq failure"),
    "RequestCancelExternalWorkflowExecutionInitiated": (
        "The code asks another workflow, or a child, to end.",
        "seq to reason child",
    ),
    "ExternalWorkflowExecutionCancelRequested": ("The request is in the other's history.", "seq"),
    "RequestCancelExternalWorkflowExecutionFailed": ("The other does not run.", "seq failure"),
    "TerminateExternalWorkflowExecutionInitiated": ("The code ends another workflow.", "seq to"),
    "ExternalWorkflowExecutionTerminated": ("The other was ended.", "seq"),
    "TerminateExternalWorkflowExecutionFailed": ("The other does not run.", "seq failure"),
    "LockRequested": (
        "The code asked for a lock; `wait`: false when it would not wait.",
        "seq key limit wait",
    ),
    "LockGranted": ("The run has the lock.", "seq"),
    "LockRefused": ("It was not free, or too many wait for it.", "seq failure"),
    "LockReleased": (
        "The code gave a lock, or its place in line, back; `target`: its `seq`.",
        "seq target",
    ),
    "ConcurrencySlotGranted": (
        "A run of a type with a concurrency limit may begin; messages may stand before it.",
        "limit",
    ),
    "MarkerRecorded": (
        (
            "A value that replay must not make again: `marker` is `version`, `uuid`, "
            "`side_effect`, `local_activity` and so on; `name` is the change id or the activity."
        ),
        "seq marker name version value result failure",
    ),
    "UpsertWorkflowSearchAttributes": ("The code set attributes or notes.", "seq search memo"),
    "WorkflowExecutionUpdateCompleted": (
        "The code answered an update (`step`: ack, nak, ok or error).",
        "seq update_id step result failure value",
    ),
    "WorkflowExecutionCompleted": (
        "The code returned; `unread`: messages it never took.",
        "result unread",
    ),
    "WorkflowExecutionFailed": ("The code returned or raised an error.", "failure unread"),
    "WorkflowExecutionCanceled": (
        "The code ended with an error of kind Canceled after it was asked to.",
        "failure unread",
    ),
    "WorkflowExecutionTerminated": (
        (
            "Somebody ended the run. `unread`: messages it never took, by event id; "
            "`unread_after`: there were many, and every message after this event is unread, too."
        ),
        "reason identity unread unread_after",
    ),
    "WorkflowExecutionTimedOut": (
        "The run was out of time. `unread` and `unread_after` as when it is terminated.",
        "failure unread unread_after",
    ),
    "WorkflowExecutionContinuedAsNew": (
        "The next run of the same workflow id took over.",
        "new_run_id workflow_type input unread",
    ),
}
"""Event type -> when it is written, and the fields it may have (as ``show`` prints them)."""
