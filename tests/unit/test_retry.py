"""Retry verdicts follow from the policy, the attempt and the failure alone."""

from __future__ import annotations

import pytest

from luaflow.domain.failure import Failure, Invalid, timeout
from luaflow.domain.retry import RetryPolicy

BROKEN = Failure("Internal", "broken")


@pytest.mark.parametrize(
    ("attempt", "delay"),
    [
        (1, 1000),  # 1000 * 2^0
        (2, 2000),  # 1000 * 2^1
        (7, 64_000),  # 1000 * 2^6
        (8, 100_000),  # 128,000 is above 100 * 1000
        (100_000, 100_000),  # 2^99999 is no float
    ],
)
def test_default_backoff_doubles_to_a_hundred_times_the_first(attempt: int, delay: int) -> None:
    """Without options: 1 s, doubling, at most 100 s, no limit of attempts."""
    assert RetryPolicy().next_delay_ms(attempt, BROKEN) == delay


@pytest.mark.parametrize(
    ("policy", "attempt", "failure", "delay"),
    [
        (RetryPolicy(maximum_attempts=1), 1, BROKEN, None),
        (RetryPolicy(maximum_attempts=2), 1, BROKEN, 1000),
        (RetryPolicy(maximum_attempts=2), 2, BROKEN, None),
        (RetryPolicy(10, 1.0), 9, BROKEN, 10),
        (RetryPolicy(10, 3.0, 25), 2, BROKEN, 25),
        (RetryPolicy(), 1, Failure("Internal", "", retryable=False), None),
        (RetryPolicy(), 1, Failure("Internal", "", retryable=True), 1000),
        (RetryPolicy(non_retryable_error_types=("Invalid",)), 1, Failure("Invalid", ""), None),
        (RetryPolicy(non_retryable_error_types=("Invalid",)), 1, BROKEN, 1000),
        (RetryPolicy(), 1, timeout("start_to_close"), 1000),
        (RetryPolicy(), 1, timeout("heartbeat"), 1000),
        (RetryPolicy(), 1, timeout("worker_lost"), 1000),
        (RetryPolicy(), 1, timeout("schedule_to_start"), None),
        (RetryPolicy(), 1, timeout("schedule_to_close"), None),
        (RetryPolicy(non_retryable_error_types=("Timeout",)), 1, timeout("heartbeat"), None),
        (RetryPolicy(), 1, timeout("heartbeat", details={"_wrapper": "activity"}), None),
        (RetryPolicy(), 1, Failure("Timeout", "mine"), 1000),
    ],
)
def test_next_delay(policy: RetryPolicy, attempt: int, failure: Failure, delay: int | None) -> None:
    """Limits, flags, kinds and the engine's own timeouts decide; None gives up."""
    assert policy.next_delay_ms(attempt, failure) == delay


def test_from_options_reads_both_spellings() -> None:
    """camelCase is an alias; where both stand, snake_case wins; unknown keys are named."""
    warnings: list[str] = []
    policy = RetryPolicy.from_options(
        {
            "initial_interval": "2s",
            "initialInterval": "9s",
            "backoffCoefficient": 3,
            "maximumInterval": 60_000,
            "maximum_attempts": 5.0,
            "nonRetryableErrorTypes": "Invalid",
            "max_attempts": 3,
        },
        "p",
        warnings,
    )
    assert policy == RetryPolicy(2000, 3.0, 60_000, 5, ("Invalid",))
    assert len(warnings) == 1
    assert warnings[0].startswith("p.max_attempts is not known")


@pytest.mark.parametrize("options", [{}, [], {"initial_interval": 0}])
def test_from_options_without_content_is_the_default(options: object) -> None:
    """An empty table, which Lua sends as an empty list, is the default policy."""
    assert RetryPolicy.from_options(options) == RetryPolicy()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("no", "p must be a table"),
        ({"initial_interval": "x"}, "p.initial_interval must be a duration"),
        ({"initial_interval": -1}, "p.initial_interval must not be negative"),
        ({"maximum_interval": 10}, "p.maximum_interval must not be below initial_interval"),
        ({"backoff_coefficient": 0.5}, "p.backoff_coefficient must be a number of at least 1"),
        ({"backoff_coefficient": float("nan")}, "p.backoff_coefficient must be"),
        ({"maximum_attempts": -1}, "p.maximum_attempts must be a whole number"),
        ({"maximum_attempts": 1.5}, "p.maximum_attempts must be a whole number"),
        ({"maximum_attempts": True}, "p.maximum_attempts must be a whole number"),
        ({"non_retryable_error_types": [1]}, "p.non_retryable_error_types must be an error kind"),
    ],
)
def test_from_options_names_the_field(options: object, message: str) -> None:
    """Every refusal begins with the table's name and the field."""
    with pytest.raises(Invalid, match=message):
        RetryPolicy.from_options(options, "p")


def test_json_is_inverse() -> None:
    """A policy survives the pending table."""
    policy = RetryPolicy(5, 1.5, 50, 7, ("Invalid", "NotFound"))
    assert RetryPolicy.from_json(policy.to_json()) == policy
    assert RetryPolicy.from_json({}) == RetryPolicy()
