"""Chaining: what follows a run out of its run timeout: another try, or its cron's next turn."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from luaflow.domain.attributes import indexed
from luaflow.domain.chains import (
    End,
    Following,
    closing_body,
    deadline_of,
    ended,
    first_event_of_next,
)
from luaflow.domain.events import Event
from luaflow.domain.failure import Failure
from luaflow.domain.ids import new_run_id
from luaflow.store import chains
from luaflow.store.link import Call
from luaflow.store.transitions import Indexed, Route


def timed_out(first: Event, failure: Failure, now: int) -> End:
    """How a run ends at its run timeout; ``first`` is its first event."""
    deadline = deadline_of(first.body, first.ts)
    slot = {"failure": failure.to_json()}
    return ended(
        first.body, "timed_out", slot, failure, now=now, deadline=deadline, out_of_time=True
    )


def next_run_call(first: Event, end: End, following: Following) -> Callable[[Route], Call]:
    """What makes the transition that closes the run and opens the next one, wherever it is."""
    next_run, old = new_run_id(), first.body
    started = first_event_of_next(
        old,
        following,
        next_run=next_run,
        failure=end.slot["failure"],
        deadline=deadline_of(old, first.ts),
        bundle=old["bundle"],
    )
    text, closing = orjson.dumps(started), orjson.dumps(closing_body(end, next_run))

    def make(route: Route) -> Call:
        return chains.retry_run(
            route=route,
            next_run=next_run,
            type=old["type"],
            bundle=old["bundle"],
            attempt=following.attempt,
            run_timeout=int(old.get("run_timeout_ms", 0)),
            started=text,
            closing=closing,
            at=following.at,
            indexed=Indexed(*indexed(old.get("search_attributes") or {})),
        )

    return make
