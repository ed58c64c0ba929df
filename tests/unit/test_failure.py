"""A failure keeps its shape on the way to JSON and back."""

from __future__ import annotations

import pytest

from luaflow.domain.failure import KINDS, Failure, Invalid, canceled, terminated, timeout
from luaflow.errors import InvalidArgument


@pytest.mark.parametrize(
    ("failure", "data"),
    [
        (Failure("", ""), {"kind": "", "message": "", "retryable": None}),
        (
            Failure("Invalid", "no", retryable=False, details={"a": 1}, stack="at x:1"),
            {
                "kind": "Invalid",
                "message": "no",
                "retryable": False,
                "details": {"a": 1},
                "stack": "at x:1",
            },
        ),
        (Failure("MyOwn", "m", True), {"kind": "MyOwn", "message": "m", "retryable": True}),
    ],
)
def test_failure_and_json_are_inverse(failure: Failure, data: dict[str, object]) -> None:
    """The documented object holds everything, and nothing that is empty."""
    assert failure.to_json() == data
    assert Failure.from_json(data) == failure


def test_from_json_forgives_foreign_shapes() -> None:
    """Missing and wrong fields become unknown instead of an error about an error."""
    found = Failure.from_json({"message": None, "retryable": "yes", "details": [], "stack": 3})
    assert found == Failure("", "")


def test_helpers_build_what_workflows_see() -> None:
    """Timeouts, cancellation and termination have the contract's kinds and texts."""
    assert timeout("heartbeat", details={"last": 7}) == Failure(
        "Timeout",
        "activity heartbeat timeout",
        retryable=False,
        details={"last": 7, "timeout_type": "heartbeat"},
    )
    assert canceled() == Failure("Canceled", "operation canceled", retryable=False)
    assert terminated() == Failure("Canceled", "workflow terminated", retryable=False)
    assert {"Timeout", "Canceled", ""} <= set(KINDS)


def test_invalid_is_an_argument_error_and_a_failure() -> None:
    """Python callers catch InvalidArgument; workflow code gets kind Invalid, not retryable."""
    error = Invalid("k must be a string")
    assert isinstance(error, InvalidArgument)
    assert isinstance(error, ValueError)
    assert error.failure() == Failure("Invalid", "k must be a string", retryable=False)
