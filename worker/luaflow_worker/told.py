"""What a decision tells those who ask a run: answers to updates, and what it shows of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from luaflow.domain import values
from luaflow.domain.failure import Failure, Invalid
from luaflow.lua.vm import Command

if TYPE_CHECKING:
    from luaflow_worker.proposal import Proposal

_ANSWERS = {
    "ack": ("k", "WorkflowExecutionUpdateAccepted"),
    "nak": ("n", "WorkflowExecutionUpdateRejected"),
    "ok": ("d", "WorkflowExecutionUpdateCompleted"),
    "error": ("d", "WorkflowExecutionUpdateCompleted"),
}
"""Step of the update protocol -> the letter of its state (``includes/run.lua``), its event."""


def answer_update(proposal: Proposal, c: Command) -> None:
    """One step of an update: it is accepted or rejected, then it has a result or failed."""
    step = orjson.loads(c.extra or b"{}")["step"]
    update_id = (c.name or b"").decode(errors="replace")
    data = c.data or b"null"
    slot: dict[str, Any] = {}
    if step == "ok":
        try:
            proposal.place.check_size(data, f"the answer to the update {update_id}")
            slot = {"result": orjson.Fragment(data)}
        except Invalid as error:
            slot = {"failure": error.failure().to_json()}
    elif step != "ack":
        slot = {"failure": _failure(data, "Invalid" if step == "nak" else "Internal")}
    letter, kind = _ANSWERS[step]
    body = proposal.record({"seq": c.seq, "update_id": update_id, **slot})
    proposal.operations += ["N", update_id, letter, kind, body]


def _failure(data: bytes, kind: str) -> dict[str, Any]:
    """What the code gave for an error: an error object, or text of a kind that goes with it."""
    value = values.loads(data)
    if not isinstance(value, Failure):
        text = value if isinstance(value, str) else data.decode()
        return Failure(kind, text, retryable=False).to_json()
    found: dict[str, Any] = values.encode(value)["v"]
    return found


def note(proposal: Proposal, c: Command) -> None:
    """Keep a view with the run ('' = it is gone), or the names of those there are."""
    field = f"v:{(c.name or b'').decode()}" if c.op == "view" else c.op
    proposal.operations += ["H", field, c.data or b""]
