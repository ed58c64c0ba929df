"""What the end of an attempt means: an event for the run, or another attempt."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from luaflow.activity import ActivityError
from luaflow.domain.failure import Failure, canceled, timeout
from luaflow.domain.retry import RetryPolicy
from luaflow.store.keys import Partition
from luaflow_worker.attempt import (
    Attempt,
    Limits,
    Outcome,
    check_size,
    failure_of,
    log_failure,
    outcome_of,
    verdict,
)


def attempt(number: int = 1, **policy: int) -> Attempt:
    """An attempt with its number and retry policy."""
    return Attempt(
        partition=Partition("n", 0),
        workflow_id="w",
        run_id="r",
        seq=7,
        activity="app:charge",
        input=b"[]",
        token="t",
        queue="q",
        number=number,
        policy=RetryPolicy(**policy),  # type: ignore[arg-type]
    )


def test_a_result_completes_the_activity() -> None:
    """The result's bytes stand in the event as the activity wrote them."""
    end = verdict(attempt(2), Outcome(b'{"id":3.0}'))
    assert (end.event, end.delay) == ("ActivityTaskCompleted", None)
    assert end.body == b'{"seq":7,"result":{"id":3.0},"attempt":2}'


@pytest.mark.parametrize(
    ("number", "delay"), [(1, 1000), (2, 2000), (3, 4000), (8, 100_000), (2000, 100_000)]
)
def test_a_failure_is_tried_again_after_a_growing_pause(number: int, delay: int) -> None:
    """Doubled each time, up to a hundred times the first."""
    assert verdict(attempt(number), Outcome(failure=Failure("Internal", "x"))).delay == delay


@pytest.mark.parametrize(
    ("failure", "event", "state"),
    [
        (
            Failure("Invalid", "x", retryable=False),
            "ActivityTaskFailed",
            "non_retryable_failure",
        ),
        (canceled(), "ActivityTaskCanceled", "cancel_requested"),
        (timeout("schedule_to_start"), "ActivityTaskTimedOut", "timeout"),
        (
            Failure("Timeout", "x", False, {"timeout_type": "heartbeat", "_wrapper": "activity"}),
            "ActivityTaskFailed",
            "non_retryable_failure",
        ),
    ],
)
def test_a_final_failure_becomes_an_event(failure: Failure, event: str, state: str) -> None:
    """It carries the details that the contract adds: which activity, why there is no retry."""
    end = verdict(attempt(), Outcome(failure=failure))
    assert (end.event, end.delay) == (event, None)
    details = orjson.loads(end.body)["failure"]["details"]
    assert details["_wrapper"] == "activity"
    assert details["_activity_id"] == "7"
    assert details["_retry_state"] == state


def test_the_last_attempt_says_that_it_was_the_last() -> None:
    """maximum_attempts counts the first one."""
    end = verdict(attempt(3, maximum_attempts=3), Outcome(failure=Failure("Internal", "x")))
    assert (
        orjson.loads(end.body)["failure"]["details"]["_retry_state"] == "maximum_attempts_reached"
    )


def test_a_timeout_of_the_last_attempt_is_told_as_a_timeout() -> None:
    """Whether the worker or a scheduler saw it, the event is the same."""
    end = verdict(attempt(2, maximum_attempts=2), Outcome(failure=timeout("start_to_close")))
    assert end.event == "ActivityTaskTimedOut"
    assert (
        orjson.loads(end.body)["failure"]["details"]["_retry_state"] == "maximum_attempts_reached"
    )


def test_a_lost_worker_is_a_failed_attempt_that_is_tried_again() -> None:
    """A timeout of the engine is retried although the workflow sees it as not retryable."""
    end = verdict(attempt(), Outcome(failure=timeout("worker_lost")))
    assert end.delay == 1000
    assert orjson.loads(end.body)["retryable"] is True  # as describe shows it meanwhile


def test_the_next_attempt_is_told_the_last_heartbeat() -> None:
    """The newest details go with the failure, whether or not a renewal has told them."""
    beaten = attempt()
    beaten.details = b'{"step":3}'
    assert verdict(beaten, Outcome(failure=Failure("Internal", "x"))).details == b'{"step":3}'


def test_exceptions_become_failures() -> None:
    """ActivityError as it says; a cancelled task as Canceled; all else as Internal with a stack."""
    error = ActivityError("no", kind="Conflict", retryable=False, details={"a": 1})
    assert failure_of(error) == Failure("Conflict", "no", retryable=False, details={"a": 1})
    assert failure_of(asyncio.CancelledError()).kind == "Canceled"
    other = failure_of(ValueError("bad"))
    assert (other.kind, other.message, other.details) == (
        "Internal",
        "ValueError: bad",
        {"type": "ValueError"},
    )


def test_results_that_cannot_be_stored_are_failures() -> None:
    """Too large, or of a type that no history can hold; never retried."""
    limits = Limits(10, 5)
    for outcome in (check_size(attempt(), b"x" * 11, limits), outcome_of(attempt(), {1}, limits)):
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.retryable) == ("Invalid", False)


def test_large_results_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """From the namespace's limit of warning on, operators hear which activity of which workflow."""
    outcome_of(attempt(), "x" * 3, Limits(10, 5))
    assert not caplog.records
    assert outcome_of(attempt(), "x" * 4, Limits(10, 5)).failure is None
    assert "workflow w: the result of app:charge has 6 bytes; from 5 on" in caplog.text


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (Failure("Conflict", "no"), "attempt 2: Conflict: no; it is tried again in 2 s"),
        (Failure("", "no", retryable=False), "attempt 2: error: no; it is not tried again"),
        (canceled(), ""),
    ],
)
def test_failed_attempts_are_told(
    failure: Failure, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Which activity of which workflow, how it failed, and when it is tried again."""
    one = attempt(2)
    log_failure(one, verdict(one, Outcome(failure=failure)))
    told = [record.getMessage() for record in caplog.records]
    assert told == ([f"activity app:charge of workflow w failed in {says}"] if says else [])
