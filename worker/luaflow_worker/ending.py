"""The end of a run: how its code ended it, and what follows (another try, its cron's next turn)."""

from __future__ import annotations

from typing import Any

import orjson

from luaflow.domain import failure as failures
from luaflow.domain.attributes import indexed
from luaflow.domain.chains import (
    End,
    Following,
    closing_body,
    ended,
    first_event_of_next,
    may_follow,
)
from luaflow.domain.failure import Failure
from luaflow.domain.ids import new_run_id
from luaflow.replay.decider import Decision
from luaflow.store import transitions
from luaflow.store.link import Call
from luaflow.store.transitions import Indexed
from luaflow_worker.live import Live
from luaflow_worker.place import Place
from luaflow_worker.proposal import Proposal


def ends(decision: Decision) -> bool:
    """Whether the code came to its end, other than by continuing as new."""
    return decision.status in ("done", "failed")


def needs_task(place: Place, decision: Decision) -> bool:
    """Whether a decision may open a next run, which is not done in a fused step."""
    return ends(decision) and may_follow(place.started, failed=decision.status == "failed")


def how_it_ends(place: Place, decision: Decision) -> End:
    """How a run ends; ``following`` is None for one whose end is final."""
    result, raw = decision.result or b"null", decision.failure
    refused: dict[str, Any] = {}
    if raw is None:
        try:
            place.check_size(result, "the result of the workflow")
            place.check_output(result)
        except failures.Invalid as error:
            raw = orjson.dumps(error.failure().to_json())
            refused = {"refused": True}  # a replay must know that the code itself returned
    if raw is None:
        slot: dict[str, Any] = {"result": orjson.Fragment(result)}
        return _end(place, "completed", slot, None)
    failure = Failure.from_json(orjson.loads(raw))
    canceled = decision.status == "failed" and failure.kind == "Canceled"
    slot = {"failure": orjson.Fragment(raw), **refused}
    return _end(place, "canceled" if canceled else "failed", slot, failure)


def _end(place: Place, status: str, slot: dict[str, Any], failure: Failure | None) -> End:
    if not may_follow(place.started, failed=failure is not None):
        return End(status, slot)
    return ended(place.started, status, slot, failure, now=place.now, deadline=place.deadline)


def next_run_call(
    cid: str,
    worker: str,
    live: Live,
    decision: Decision,
    body: bytes,
    proposal: Proposal,
    end: End,
    following: Following,
) -> Call:
    """Return the transition that closes the run and opens the next one of its chain."""
    place, next_run = live.place, new_run_id()
    started = first_event_of_next(
        place.started,
        following,
        next_run=next_run,
        failure=end.slot.get("failure"),
        deadline=place.deadline,
        bundle=place.bundle,
    )
    return transitions.continue_as_new(
        route=place.route,
        cid=cid,
        turn=live.turn,
        seen=decision.seen,
        worker=worker,
        decision=body,
        closing=orjson.dumps(closing_body(end, next_run)),
        next_run=next_run,
        type=place.type,
        bundle=place.bundle,
        attempt=following.attempt,
        run_timeout=place.started.get("run_timeout_ms", 0),
        started=orjson.dumps(started),
        unread=decision.unread or [],
        operations=proposal.operations,
        others=proposal.keys,
        status=end.status,
        at=following.at,
        indexed=Indexed(*indexed(started.get("search_attributes") or {})),
    )
