"""One attempt of an activity: what it is asked, how it ended, and what follows.

What follows is an event for its run, or another attempt under the retry policy: ``verdict``.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from luaflow.activity import ActivityError
from luaflow.domain import values
from luaflow.domain.failure import Failure, canceled
from luaflow.domain.retry import RetryPolicy, activity_ended
from luaflow.store.keys import Partition

STACK_BYTES = 4000


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt this worker has started; only its ``token`` may speak for it. Times in ms."""

    partition: Partition
    workflow_id: str
    run_id: str
    seq: int
    activity: str
    input: bytes
    token: str
    queue: str
    workflow_type: str = ""
    number: int = 1
    start_to_close: int = 0
    heartbeat: int = 0
    heartbeat_details: Any = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    context: dict[str, Any] = field(default_factory=dict)
    renewal: asyncio.TimerHandle | None = None
    cancel: Any = None
    eager: bool = False
    beat: bool = True
    details: bytes = b""
    beaten: bool = False
    renewing: bool = False
    ended: bool = False
    since: float = field(default_factory=time.monotonic)


class Outcome(NamedTuple):
    """How an attempt ended: its result (JSON), or a failure."""

    result: bytes = b"null"
    failure: Failure | None = None


def outcome_of(value: Any, limit: int) -> Outcome:
    """Return the outcome of a value an activity returned; too large or unsupported is a failure."""
    try:
        data = values.dumps(value)
    except ValueError as error:
        return Outcome(
            failure=Failure("Invalid", f"the activity's result: {error}", retryable=False)
        )
    return check_size(data, limit)


def check_size(data: bytes, limit: int) -> Outcome:
    """Return the outcome of a result in JSON; one over the limit (bytes) is a failure."""
    if len(data) > limit:
        text = (
            f"the activity's result has {len(data)} bytes; the limit is {limit}: return a reference"
        )
        return Outcome(failure=Failure("Invalid", text, retryable=False))
    return Outcome(data)


def failure_of(error: BaseException) -> Failure:
    """Return what the workflow sees of an exception."""
    if isinstance(error, ActivityError):
        return Failure(error.kind, error.message, retryable=error.retryable, details=error.details)
    if isinstance(error, asyncio.CancelledError):
        return canceled()
    stack = "".join(traceback.format_exception(error))[-STACK_BYTES:]
    name = type(error).__name__
    return Failure("Internal", f"{name}: {error}", details={"type": name}, stack=stack)


class Verdict(NamedTuple):
    """What follows: an event for the run, or another attempt after ``delay`` ms.

    The next attempt is told the ``details`` (JSON) of the last heartbeat of this one.
    """

    event: str
    body: bytes
    delay: int | None = None
    details: bytes = b""


def verdict(attempt: Attempt, outcome: Outcome) -> Verdict:
    """Return what an attempt's end means under its retry policy. Pure."""
    failure = outcome.failure
    if failure is None:
        body = {
            "seq": attempt.seq,
            "result": orjson.Fragment(outcome.result),
            "attempt": attempt.number,
        }
        return Verdict("ActivityTaskCompleted", orjson.dumps(body))
    asked = failure.kind == "Canceled"
    delay = None if asked else attempt.policy.next_delay_ms(attempt.number, failure)
    if delay is not None:
        return Verdict("", orjson.dumps(failure.to_json()), delay, attempt.details)
    event, ended = activity_ended(attempt.seq, failure, attempt.number)
    return Verdict(event, orjson.dumps(ended))
