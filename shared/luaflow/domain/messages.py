"""Messages between partitions: the JSON of an outbox, as its receiver will read it (design 5.6).

Every request has one answer, an ``outcome``; a parent hears of its child's end by one, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from luaflow.domain.events import CHILD_EVENT
from luaflow.domain.failure import Failure


def outcome(
    sender: Mapping[str, Any], type: str, body: Mapping[str, Any], *, final: bool = True
) -> bytes:
    """The answer to a request of ``sender`` (its workflow and run id); ``body`` has its ``seq``.

    A sender that is no run says so itself (``k``: schedule).
    """
    message = {
        "k": sender.get("k", "outcome"),
        "workflow_id": sender["workflow_id"],
        "run_id": sender["run_id"],
        "seq": body["seq"],
        "type": type,
        "body": body,
        "final": int(final),
    }
    return orjson.dumps(message)


def child_outcome(
    parent: Mapping[str, Any],
    workflow_id: str,
    run_id: str,
    status: str,
    slot: Mapping[str, Any],
    state: str = "",
) -> bytes:
    """How a child ended, for its parent; ``slot`` is ``{"result": …}`` or ``{"failure": {…}}``.

    The failure gets the details that the contract adds (9.3): which child, and why it was not tried
    again (``state``; '' without a retry policy).
    """
    body = {
        "seq": parent["seq"],
        "pid": parent["pid"],
        "workflow_id": workflow_id,
        "run_id": run_id,
    }
    if "failure" in slot:
        shape = orjson.loads(orjson.dumps(slot["failure"]))
        added = {
            "_wrapper": "child_workflow",
            "_workflow_id": workflow_id,
            "_workflow_type": parent.get("type", ""),
            "_run_id": run_id,
            "_retry_state": state or "retry_policy_not_set",
        }
        slot = {"failure": {**shape, "details": {**(shape.get("details") or {}), **added}}}
    return outcome(parent, CHILD_EVENT[status], {**body, **slot})


def parent_closed(
    record: Mapping[str, Any], run_id: str, seq: int, reason: str = "its parent workflow closed"
) -> bytes | None:
    """What a child is told when its parent closed; None when that is nothing (``abandon``).

    ``record`` is the parent's note of the child, ``run_id`` and ``seq`` are the parent's: the
    message is for the child of this request only, not for a later run of the same workflow id.
    """
    head = {"workflow_id": record["workflow_id"], "child_of": {"run_id": run_id, "seq": seq}}
    head |= {"from": None, "seq": seq}
    if record.get("policy") == "terminate":
        return orjson.dumps({"k": "end", **head, "body": {"reason": reason}})
    if record.get("policy") == "request_cancel":
        type_ = "WorkflowExecutionCancelRequested"
        body = {"reason": reason}
        return orjson.dumps(
            {"k": "message", **head, "type": type_, "body": body, "ok": "", "failed": ""}
        )
    return None


def letter_to(node: str, letter: Mapping[str, Any]) -> bytes:
    """A letter to a process of a node: nobody is told what became of it (delivery at most once)."""
    return orjson.dumps({"k": "letter", "workflow_id": node, "letter": letter})


def not_running(workflow_id: str) -> Failure:
    """Why a message cannot arrive: its target is closed, or never was."""
    return Failure("NotFound", f"workflow '{workflow_id}' is not running", retryable=False)


def exists_already(workflow_id: str) -> Failure:
    """Why a child cannot start: its workflow id is taken."""
    return Failure("AlreadyExists", f"workflow '{workflow_id}' exists already", retryable=False)
