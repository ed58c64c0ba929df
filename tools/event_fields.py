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
            "and `client`: the registry's entries, `bundle`: the code it begins with "
            "(`versioning`: whether it moves to newer code). In a chain: `continued_from` "
            "the run before, `initiator` retry or cron, `continued_failure` why that one failed, "
            "`cron_at` the time it is the turn of, `deadline` when the execution timeout of all "
            "of them is over. `headers`: the W3C trace context it belongs to, here and in other "
            "events; only where somebody traces."
        ),
        (
            "v rv workflow_type workflow_id run_id first_run_id bundle task_queue host client "
            "input context attempt identity pid parent memo search_attributes run_timeout_ms "
            "execution_timeout_ms continued_from parent_close_policy retry_policy summary details "
            "request_id task_timeout_ms priority cron_schedule cron_at deadline versioning "
            "initiator continued_failure backoff_ms start_delay_ms headers"
        ),
    ),
    "WorkflowExecutionSignaled": (
        "Somebody sent a signal; `from`: the PID of a workflow or function that sent it.",
        "name input from headers",
    ),
    "WorkflowExecutionUpdateAdmitted": (
        "An update entered the mailbox.",
        "name input update_id from headers",
    ),
    "WorkflowExecutionCancelRequested": ("Somebody asked the run to end.", "reason from headers"),
    "WorkflowTaskCompleted": (
        (
            "A worker decided on everything up to event `seen`; the events of its commands follow. "
            "`continued`: the code asked for continue-as-new; `more`: the decision was full, the "
            "next one goes on at once; `ended`: another run of its chain follows; `bundle`: the "
            "code of a run that moves to newer code."
        ),
        "seen worker continued more ended bundle headers",
    ),
    "ActivityTaskScheduled": (
        "The code called an activity; `options` as the code gave them.",
        "seq activity input task_queue options context headers",
    ),
    "ActivityTaskCompleted": (
        "The activity returned; `by`: it was completed from outside, which this marks.",
        "seq result attempt by",
    ),
    "ActivityTaskFailed": (
        "Its last attempt failed, or failed for good.",
        "seq failure attempt by",
    ),
    "ActivityTaskTimedOut": ("One of its timeouts ended it.", "seq failure attempt"),
    "ActivityTaskCanceled": ("It was cancelled.", "seq failure attempt by"),
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
    "ChildWorkflowExecutionStarted": (
        "The child runs; `existing`: it is a run that had the workflow id, and nobody's child.",
        f"{_CHILD} existing",
    ),
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
            "`side_effect`, `local_activity`, or a function of a module, such as `yaml.decode`; "
            "`name` is the change id, the activity or, with `tell`, the PID of the process that "
            "`value` is said to."
        ),
        "seq marker name version value result failure",
    ),
    "UpsertWorkflowSearchAttributes": ("The code set attributes or notes.", "seq search memo"),
    "WorkflowExecutionUpdateAccepted": (
        "The code accepted an update: it will do what that asks for.",
        "seq update_id",
    ),
    "WorkflowExecutionUpdateRejected": (
        "The code, or its validator, did not accept an update.",
        "seq update_id failure",
    ),
    "WorkflowExecutionUpdateCompleted": (
        "The code answered an update, by a result or an error.",
        "seq update_id result failure",
    ),
    "WorkflowExecutionCompleted": (
        "The code returned; `unread`: messages it never took; `new_run_id`: its cron goes on.",
        "result unread new_run_id retry_state",
    ),
    "WorkflowExecutionFailed": (
        (
            "The code returned or raised an error. `retry_state`: whether it is tried again, or "
            "why not; `new_run_id`: the run that follows. `refused`: it returned what is too "
            "large, or not what its `output_schema` asks for."
        ),
        "failure refused unread new_run_id retry_state",
    ),
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
        "failure unread unread_after new_run_id retry_state",
    ),
    "WorkflowExecutionContinuedAsNew": (
        "The next run of the same workflow id took over.",
        "new_run_id workflow_type input unread",
    ),
}
"""Event type -> when it is written, and the fields it may have (as ``show`` prints them)."""
