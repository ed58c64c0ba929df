"""One attempt of an activity: what it is asked, how it ended, and what follows.

What follows is an event for its run, or another attempt under the retry policy: ``verdict``.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from luaflow.activity import ActivityError, Context, Info
from luaflow.client.messages import Closed
from luaflow.domain import values
from luaflow.domain.failure import Failure, canceled
from luaflow.domain.headers import PARENT, Headers
from luaflow.domain.lanes import base_of
from luaflow.domain.retry import RetryPolicy, activity_ended, tried_again
from luaflow.domain.tokens import Token
from luaflow.errors import (
    AlreadyExists,
    Failed,
    InvalidArgument,
    LuaflowError,
    MissingLibrary,
    NoAnswer,
    NotFound,
    Refused,
)
from luaflow.observe.logs import attempt_fields
from luaflow.store.keys import Partition
from luaflow.store.namespaces import Settings
from luaflow.store.transitions import Route

if TYPE_CHECKING:
    from luaflow.observe.otel import Span

log = logging.getLogger(__name__)

STACK_BYTES = 4000


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt this worker has started; only its ``token`` may speak for it. Times in ms.

    ``job`` is the run id of a plain job, and '' for what a workflow asked for. ``called``: it is a
    function that other code called here, and no activity at all. ``headers`` is the trace it is in,
    ``waited`` how long its task was in a queue, ``home`` where its run was when it was taken.
    """

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
    job: str = ""
    called: bool = False
    headers: Headers | None = None
    span: Span | None = None
    waited: int = 0
    home: Route | None = None
    renewal: asyncio.TimerHandle | None = None
    cancel: Any = None
    eager: bool = False
    beat: bool = True
    details: bytes = b""
    beaten: bool = False
    renewing: bool = False
    ended: bool = False
    since: float = field(default_factory=time.monotonic)


def route_of(attempt: Attempt) -> Route:
    """Where the run of an attempt is, as far as this worker knows: it may have moved."""
    a = attempt
    return a.home or Route(a.partition, a.workflow_id, a.run_id, a.queue)


class Outcome(NamedTuple):
    """How an attempt ended: a result (JSON) or a failure; ``deferred``: somebody else ends it."""

    result: bytes = b"null"
    failure: Failure | None = None
    deferred: bool = False


class Limits(NamedTuple):
    """The namespace's limits of a payload, in bytes: refused above ``most``, logged above ``warn``.

    See ``Place.check_size`` for what workflows give.
    """

    most: int
    warn: int


def limits_of(settings: Settings) -> Limits:
    """Return the limits of a namespace."""
    return Limits(settings.largest_bytes, settings.payload_warn_bytes)


def outcome_of(attempt: Attempt, value: Any, limits: Limits) -> Outcome:
    """Return the outcome of a value an activity returned; too large or unsupported is a failure."""
    try:
        data = values.dumps(value)
    except ValueError as error:
        return Outcome(
            failure=Failure("Invalid", f"the activity's result: {error}", retryable=False)
        )
    return check_size(attempt, data, limits)


def check_size(attempt: Attempt, data: bytes, limits: Limits) -> Outcome:
    """Return the outcome of a result in JSON; one over the limit is a failure, a warning below."""
    size = len(data)
    if size > limits.most:
        text = (
            f"the activity's result has {size} bytes; the limit is {limits.most}:"
            " return a reference"
        )
        return Outcome(failure=Failure("Invalid", text, retryable=False))
    if size > limits.warn:
        log.warning(
            "workflow %s: the result of %s has %d bytes; from %d on, return a reference instead",
            attempt.workflow_id,
            attempt.activity,
            size,
            limits.warn,
            extra=attempt_fields(info_of(attempt)),
        )
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


def failure_of_call(error: Exception) -> Failure:
    """What the code of a function sees of an error."""
    if isinstance(error, Failed):
        return Failure(error.kind, error.message, retryable=error.retryable, details=error.details)
    for kind, name in (
        (NotFound, "NotFound"),
        (AlreadyExists, "AlreadyExists"),
        (Closed, "NotFound"),  # as workflows see it
        (Refused, "Conflict"),
        (NoAnswer, "Timeout"),
    ):
        if isinstance(error, kind):
            return Failure(name, str(error), retryable=False)
    if isinstance(error, MissingLibrary):
        return Failure("Unavailable", error.message, retryable=False)
    if isinstance(error, (InvalidArgument, ValueError)):
        return Failure("Invalid", str(error), retryable=False)
    if isinstance(error, LuaflowError):
        return Failure("Unavailable", error.message, retryable=True)
    return failure_of(error)


class Verdict(NamedTuple):
    """What follows: an event for the run, or another attempt after ``delay`` ms.

    The next attempt is told the ``details`` (JSON) of the last heartbeat of this one.
    """

    event: str
    body: bytes
    delay: int | None = None
    details: bytes = b""
    failure: Failure | None = None


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
        told = orjson.dumps(tried_again(failure).to_json())
        return Verdict("", told, delay, attempt.details, failure)
    event, ended = activity_ended(attempt.seq, failure, attempt.number)
    return Verdict(event, orjson.dumps(ended), failure=failure)


def log_failure(attempt: Attempt, end: Verdict) -> None:
    """Tell operators of an attempt that failed, not that was cancelled, and when the next is."""
    failure = end.failure
    if failure is None or failure.kind == "Canceled":
        return
    after = f"it is tried again in {(end.delay or 0) / 1000:g} s"
    log.warning(
        "activity %s of workflow %s failed in attempt %d: %s: %s; %s",
        attempt.activity,
        attempt.workflow_id,
        attempt.number,
        failure.kind or "error",
        failure.message,
        "it is not tried again" if end.delay is None else after,
        extra=attempt_fields(info_of(attempt)),
    )


def info_of(attempt: Attempt) -> Info:
    """What the code of an activity may know of its attempt."""
    return Info(
        activity=attempt.activity,
        attempt=attempt.number,
        workflow_id="" if attempt.job else attempt.workflow_id,
        run_id=attempt.job or attempt.run_id,
        workflow_type=attempt.workflow_type,
        task_queue=base_of(attempt.queue),
        seq=attempt.seq,
        start_to_close_ms=attempt.start_to_close,
        heartbeat_timeout_ms=attempt.heartbeat,
        heartbeat_details=attempt.heartbeat_details,
        job_id=attempt.workflow_id if attempt.job else "",
        traceparent=(attempt.headers or {}).get(PARENT, ""),
    )


Beat = Callable[[Attempt, Any], None]
"""Takes a heartbeat of an attempt, and what it says."""


def no_beat(_attempt: Attempt, _details: Any) -> None:
    """Nobody listens: it is no activity of its own."""


def context_of(attempt: Attempt, beat: Beat = no_beat) -> Context:
    """The link between the code of an attempt and its worker; ``beat`` takes its heartbeats."""
    token = functools.partial(_token_of, attempt) if attempt.token else None
    return Context(
        functools.partial(info_of, attempt), functools.partial(beat, attempt), token=token
    )


def _token_of(attempt: Attempt) -> str:
    a = attempt
    return str(Token(a.workflow_id, a.run_id, a.seq, a.number, a.token))
