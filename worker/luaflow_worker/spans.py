"""The spans of a worker: one for each decision that it makes, one for each attempt it runs.

A replay makes none. Decisions of a run are under the span that its *anchor* names: that of its
start, or of its first decision here; after an hour the next one begins a trace of its own, which
links to the anchor and is the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from luaflow.domain.events import MESSAGES, STARTED, TASK_COMPLETED, Event
from luaflow.domain.failure import Failure
from luaflow.domain.headers import SINCE, Headers, read_headers
from luaflow.domain.lanes import base_of
from luaflow.observe import tracing

if TYPE_CHECKING:
    from luaflow.observe.otel import Span
    from luaflow_worker.attempt import Attempt, Outcome
    from luaflow_worker.live import Live
    from luaflow_worker.steps import Step

log = logging.getLogger(__name__)

HOUR_MS: Final = 3_600_000
MOST_LINKS: Final = 32
_NOTHING: Final = nullcontext()
_MARK: Final = b'"headers":'


class Anchor(NamedTuple):
    """What the decisions of a run are under, and since when it goes on (namespace time, ms)."""

    headers: Headers
    since: int


def anchor_in(event: Event) -> Anchor | None:
    """The anchor that an event of a history makes; most make none."""
    if event.type not in (STARTED, TASK_COMPLETED) or _MARK not in event.raw:
        return None
    headers = read_headers(event.body.get("headers"))
    return Anchor(headers, int(headers.get(SINCE, event.ts))) if headers else None


@contextmanager
def _harmless() -> Iterator[None]:
    """Whatever a sampler or a processor of the user's makes of a span, work goes on."""
    try:
        yield
    except Exception:
        log.exception("a span is lost")


def task_begun(step: Step) -> None:
    """Begin the span of a decision; what the decision asks for is under it."""
    if tracing.active():
        with _harmless():
            _begin_task(step)


def _begin_task(step: Step) -> None:
    live, place = step.live, step.live.place
    now, anchor = live.clock.estimate(), live.anchor
    under = anchor if anchor and now - anchor.since <= HOUR_MS else None
    links = _messages(live)
    if anchor and not under:
        links.insert(0, anchor.headers)
    route = place.route
    step.span = tracing.begin(
        f"RunWorkflow:{place.type}",
        "consumer",
        tracing.attributes_of(
            queue=base_of(route.queue),
            workflow=place.type,
            workflow_id=route.workflow_id,
            run_id=route.run_id,
            attempt=place.started.get("attempt", 1),
        ),
        parent=under.headers if under else None,
        links=links[:MOST_LINKS],
    )
    if step.span is None:
        return
    place.headers = step.span.headers
    step.anchors = under is None
    if step.anchors:
        live.anchor = Anchor(place.headers, now)


def _messages(live: Live) -> list[Headers]:
    """What the messages that a decision sees were sent under."""
    found = [e for e in live.execution.unseen() if e.type in MESSAGES and _MARK in e.raw]
    return [h for e in found if (h := read_headers(e.body.get("headers")))]


def task_ended(step: Step, failure: Failure | None = None, *, committed: bool = True) -> None:
    """End the span of a decision; ``committed``: it stands in the history."""
    span, step.span = step.span, None
    if span is None:
        return
    if step.decision and step.decision.failure and failure is None:
        failure = Failure.from_json(orjson.loads(step.decision.failure))
    with _harmless():
        if failure:
            span.fail(failure.kind, failure.message)
        if not committed:
            span.set({"luaflow.committed": False})
        span.end()


def carried(live: Live) -> dict[str, Any]:
    """What the first event of a run says that continues this one as new."""
    headers = live.place.headers
    if headers and live.anchor:
        headers = {**headers, SINCE: str(live.anchor.since)}
    return {"headers": headers} if headers else {}


def attempt_begun(attempt: Attempt) -> AbstractContextManager[None]:
    """Begin the span of an attempt; inside, what its code begins is under it."""
    given = attempt.headers
    if given is None and not tracing.active():
        return _NOTHING
    with _harmless():
        attempt.span = _begin_attempt(attempt, given)
    if attempt.span:
        attempt.headers = attempt.span.headers
    return tracing.entered(attempt.span, given)


def _begin_attempt(attempt: Attempt, given: Headers | None) -> Span | None:
    late = given is not None and (given.get(SINCE) == "0" or attempt.waited > HOUR_MS)
    return tracing.begin(
        f"RunActivity:{attempt.activity}",
        "consumer",
        tracing.attributes_of(
            queue=base_of(attempt.queue),
            activity=attempt.activity,
            workflow=attempt.workflow_type,
            attempt=attempt.number,
            run_id=attempt.job or attempt.run_id,
            **{"job_id" if attempt.job else "workflow_id": attempt.workflow_id},
        ),
        parent=None if late else given,
        links=[given] if given and late else (),
    )


def attempt_ended(attempt: Attempt, outcome: Outcome) -> None:
    """End the span of an attempt as that ended; it does not wait for one that was deferred."""
    span, attempt.span = attempt.span, None
    if span is None:
        return
    with _harmless():
        if outcome.failure:
            span.fail(outcome.failure.kind, outcome.failure.message)
        if outcome.deferred:
            span.set({"luaflow.deferred": True})
        span.end()
