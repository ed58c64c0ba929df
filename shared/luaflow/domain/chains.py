"""What follows a run that ended: another try of it, its next turn by cron, or nothing.

Decided from values alone (the run's first event, how it ended, the namespace time), by whoever
writes the end: a worker, or a scheduler where the run is out of time. The decision is part of what
is written, so a repeat does not make it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from luaflow.domain.cron import parse_cron
from luaflow.domain.events import CLOSING_EVENT
from luaflow.domain.failure import Failure
from luaflow.domain.headers import linked
from luaflow.domain.retry import RetryPolicy

RETRY = "retry"
CRON = "cron"
_NOT_PASSED_ON = (
    "backoff_ms",
    "continued_failure",
    "continued_from",
    "identity",
    "initiator",
    "request_id",
    "start_delay_ms",
)


class Following(NamedTuple):
    """The next run of a chain: why there is one, which attempt it is, and when it begins.

    ``at`` is namespace time in ms; negative: so many ms after the end of the one before.
    """

    initiator: str
    attempt: int
    at: int


class End(NamedTuple):
    """How a run ended: its status, ``{"result": …}`` or ``{"failure": …}``, and what follows.

    ``state`` is Temporal's word for why it is not tried (any more); '' without a retry policy.
    """

    status: str
    slot: Mapping[str, Any]
    following: Following | None = None
    state: str = ""

    @property
    def event(self) -> str:
        """The type of the closing event."""
        return CLOSING_EVENT[self.status]


def may_follow(started: Mapping[str, Any], *, failed: bool) -> bool:
    """Whether a run that ended may have a next one; not asked of one that was cancelled."""
    return bool(started.get("cron_schedule")) or (failed and bool(started.get("retry_policy")))


def deadline_of(started: Mapping[str, Any], at: int) -> int:
    """When the execution timeout of a chain is over (namespace time, ms); 0: it has none.

    ``at`` is the time of the run's first event.
    """
    given = started.get("deadline")
    if given:
        return int(given)
    limit = started.get("execution_timeout_ms")
    return at + int(limit) if limit else 0


def ended(
    started: Mapping[str, Any],
    status: str,
    slot: Mapping[str, Any],
    failure: Failure | None,
    *,
    now: int,
    deadline: int,
    out_of_time: bool = False,
) -> End:
    """How a run ended, with what follows it.

    ``now`` is the namespace time as far as it is known. ``out_of_time``: its run timeout ended it,
    which may be tried again although a workflow sees timeouts as final.
    """
    following, state = None, ""
    if failure is not None and status in ("failed", "timed_out") and started.get("retry_policy"):
        following, state = _retry(started, failure, now, deadline, out_of_time)
    if following is None and status in ("completed", "failed", "timed_out"):
        following = _by_cron(started, now, deadline)
    return End(status, slot, following, "in_progress" if following else state)


def _retry(
    started: Mapping[str, Any], failure: Failure, now: int, deadline: int, out_of_time: bool
) -> tuple[Following | None, str]:
    policy = RetryPolicy.from_json(started["retry_policy"])
    attempt = int(started.get("attempt", 1))
    if out_of_time and "Timeout" not in policy.non_retryable_error_types:
        failure = Failure("Timeout", failure.message, retryable=True)
    delay = policy.next_delay_ms(attempt, failure)
    if delay is None:
        last = policy.maximum_attempts and attempt >= policy.maximum_attempts
        return None, "maximum_attempts_reached" if last else "non_retryable_failure"
    if deadline and now + delay >= deadline:
        return None, "timeout"
    return Following(RETRY, attempt + 1, -delay), ""


def _by_cron(started: Mapping[str, Any], now: int, deadline: int) -> Following | None:
    text = started.get("cron_schedule")
    if not text:
        return None
    at = parse_cron(str(text)).after(now, int(started.get("cron_at", now)))
    if at is None or (deadline and at >= deadline):
        return None
    return Following(CRON, 1, at)


def first_task_at(started: Mapping[str, Any], at: int) -> int:
    """When the first task of a run is due (namespace time, ms); ``at``: of its first event."""
    if "backoff_ms" in started:
        return at + int(started["backoff_ms"])
    if "cron_at" in started and started.get("initiator") != RETRY:
        return int(started["cron_at"])
    return at + int(started.get("start_delay_ms", 0))


def first_event_of_next(
    started: Mapping[str, Any],
    following: Following,
    *,
    next_run: str,
    failure: Mapping[str, Any] | None,
    deadline: int,
    bundle: str,
) -> dict[str, Any]:
    """The body of the next run's first event: what the one before began with."""
    body = {key: value for key, value in started.items() if key not in _NOT_PASSED_ON}
    body |= {
        "run_id": next_run,
        "attempt": following.attempt,
        "bundle": bundle,
        "continued_from": started["run_id"],
        "initiator": following.initiator,
    }
    if "headers" in body:
        body["headers"] = linked(body["headers"])
    if following.initiator == CRON:
        body["cron_at"] = following.at
    else:
        body["backoff_ms"] = -following.at
    if failure is not None:
        body["continued_failure"] = failure
    if deadline:
        body["deadline"] = deadline
    return body


def closing_body(end: End, next_run: str) -> dict[str, Any]:
    """The body of the event that closes a run of a chain."""
    body = dict(end.slot)
    if end.state:
        body["retry_state"] = end.state
    if end.following:
        body["new_run_id"] = next_run
    return body
