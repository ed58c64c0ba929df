"""What a due date of an activity means: a decision from its record alone, no clock, no chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from luaflow.domain import failure as failures
from luaflow.domain import poison
from luaflow.domain.failure import Failure, canceled, timeout
from luaflow.domain.retry import RetryPolicy, activity_ended
from luaflow.store.attempts import Record


class End(NamedTuple):
    """The activity is over, and why (``kind`` is a timeout's type, or ``canceled``)."""

    failure: Failure
    kind: str

    def event(self, seq: str, attempt: int) -> tuple[str, bytes]:
        """The type of the event that says so, and its body."""
        name, body = activity_ended(int(seq), self.failure, attempt)
        return name, orjson.dumps(body)


class Retry(NamedTuple):
    """The attempt is over and another one follows after ``delay`` ms.

    Where cancellation was asked for, the script makes that the end instead (``retry_activity``).
    """

    delay: int
    failure: Failure
    kind: str
    parked: bool = False


def attempt_due(
    record: Record, due: int, options: Mapping[str, Any], last_failure: bytes | None = None
) -> End | Retry | None:
    """What becomes of an attempt whose date ``due`` (server time, ms) has passed.

    ``options`` is its ``o:<seq>`` record, ``last_failure`` (JSON) that of the attempt before it.
    None: no attempt runs, so the date means nothing.
    """
    if record.state == "x":
        return End(canceled(), "canceled")
    if record.state not in ("r", "c"):
        return None
    kind = _why(record, due)
    failure = timeout(kind)
    policy = RetryPolicy.from_json(options.get("retry") or {})
    delay = policy.next_delay_ms(record.attempt, failure)
    if delay is None:
        return End(failure, kind)
    last = orjson.loads(last_failure) if last_failure else None
    failure = poison.counted(failure, last, record.worker)
    parked = poison.is_parked(failure.to_json())
    return Retry(poison.pause_ms(failure, delay), failure, kind, parked)


def _why(record: Record, due: int) -> str:
    """Which limit a date stands for: the earliest one set it, the lease where none did."""
    if record.start_to_close and record.started + record.start_to_close <= due:
        return failures.START_TO_CLOSE
    if record.heartbeat and record.beat + record.heartbeat <= due:
        return failures.HEARTBEAT
    return failures.WORKER_LOST


def not_started(record: Record) -> End | None:
    """What becomes of an activity that nobody took within its schedule-to-start timeout."""
    if record.state != "q":
        return None
    kind = failures.SCHEDULE_TO_START
    return End(timeout(kind), kind)


def out_of_time(last_failure: bytes | None) -> End:
    """What becomes of an activity at its schedule-to-close timeout; its last failure is told."""
    kind = failures.SCHEDULE_TO_CLOSE
    details = {"last_failure": orjson.loads(last_failure)} if last_failure else None
    return End(timeout(kind, details=details), kind)


def run_out_of_time(kind: str) -> Failure:
    """Why a run ends at its run (``x``) or execution (``X``) timeout."""
    name = "run" if kind == "x" else "execution"
    return timeout(failures.START_TO_CLOSE, f"workflow {name} timeout")
