"""The one shape of a failure: what went wrong, and whether trying again may help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from luaflow.errors import InvalidArgument

KINDS: Final = (
    "NotFound",
    "AlreadyExists",
    "Invalid",
    "PermissionDenied",
    "Unavailable",
    "Internal",
    "Canceled",
    "Conflict",
    "Timeout",
    "RateLimited",
    "",
)
"""The kinds of the Lua `errors` module, as they stand on the wire; "" is unknown."""

START_TO_CLOSE: Final = "start_to_close"
SCHEDULE_TO_START: Final = "schedule_to_start"
SCHEDULE_TO_CLOSE: Final = "schedule_to_close"
HEARTBEAT: Final = "heartbeat"
WORKER_LOST: Final = "worker_lost"


class Invalid(InvalidArgument, ValueError):
    """Something given by a user breaks the contract; the text is written for that user."""

    def failure(self) -> Failure:
        """The same news as a value that code inside a workflow can look at."""
        return Failure("Invalid", str(self), retryable=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as data, equal on the Lua side, in histories and in Python.

    `kind` is one of KINDS, or a word of the user's own. `retryable` False is never tried again,
    True and None (undecided) are, by the retry policy. `details` holds values of
    `luaflow.domain.values`; `stack` is text for people.
    """

    kind: str
    message: str
    retryable: bool | None = None
    details: dict[str, Any] | None = None
    stack: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The documented object; `details` and `stack` are left out when there are none.

        `details` is passed on as it is: use `values.encode` where it may hold tagged values.
        """
        out: dict[str, Any] = {
            "kind": self.kind,
            "message": self.message,
            "retryable": self.retryable,
        }
        if self.details:
            out["details"] = self.details
        if self.stack:
            out["stack"] = self.stack
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Failure:
        """Read the documented object; missing fields mean unknown, extra ones are ignored."""
        retryable = data.get("retryable")
        details = data.get("details")
        stack = data.get("stack")
        return cls(
            kind=str(data.get("kind") or ""),
            message=str(data.get("message") or ""),
            retryable=retryable if isinstance(retryable, bool) else None,
            details=details if isinstance(details, dict) and details else None,
            stack=stack if isinstance(stack, str) and stack else None,
        )


def timeout(
    timeout_type: str,
    message: str | None = None,
    details: dict[str, Any] | None = None,
) -> Failure:
    """A timeout as a workflow sees it: kind Timeout, not retryable, `details.timeout_type`.

    Whether the *activity* is tried again after it is decided by `retry.RetryPolicy`.
    """
    text = message or f"activity {timeout_type.replace('_', '-')} timeout"
    return Failure(
        "Timeout", text, retryable=False, details={**(details or {}), "timeout_type": timeout_type}
    )


def canceled(message: str = "operation canceled") -> Failure:
    """The failure of something that was cancelled before it ended."""
    return Failure("Canceled", message, retryable=False)


def terminated() -> Failure:
    """The failure that watchers of a terminated workflow see."""
    return Failure("Canceled", "workflow terminated", retryable=False)
