"""Continue-as-new: the next run of the same workflow id, with what nobody has read yet."""

from __future__ import annotations

from typing import Any

import orjson

from luaflow.domain.attributes import indexed
from luaflow.domain.ids import new_run_id
from luaflow.domain.lanes import base_of
from luaflow.lua.vm import Command
from luaflow.replay.decider import Decision
from luaflow.store import transitions
from luaflow.store.link import Call
from luaflow.store.transitions import Indexed
from luaflow_worker.children import Types
from luaflow_worker.engines import MissingBundle
from luaflow_worker.live import Live
from luaflow_worker.place import Place
from luaflow_worker.proposal import Proposal
from luaflow_worker.spans import carried

_KEPT = (
    "context",
    "cron_at",
    "cron_schedule",
    "details",
    "execution_timeout_ms",
    "first_run_id",
    "parent",
    "pid",
    "priority",
    "retry_policy",
    "run_timeout_ms",
    "summary",
    "task_timeout_ms",
    "versioning",
)


def continue_call(
    cid: str,
    worker: str,
    live: Live,
    decision: Decision,
    body: bytes,
    proposal: Proposal,
    types: Types,
) -> Call:
    """Return the transition that closes the run and opens the next one."""
    command = decision.commands[-1]
    extra = orjson.loads(command.extra or b"{}")
    next_run = new_run_id()
    started = _first_event(live.place, command, next_run, types) | carried(live)
    closing = {"new_run_id": next_run, "type": started["type"], "input": started["input"]}
    return transitions.continue_as_new(
        route=live.place.route,
        cid=cid,
        turn=live.turn,
        seen=decision.seen,
        worker=worker,
        decision=body,
        closing=orjson.dumps(closing),
        next_run=next_run,
        type=started["type"],
        bundle=started["bundle"],
        attempt=1,
        run_timeout=started.get("run_timeout_ms", 0),
        started=orjson.dumps(started),
        unread=[*(decision.unread or []), *(extra.get("unread") or [])],
        indexed=Indexed(*indexed(live.place.search)),
        operations=proposal.operations,
        others=proposal.keys,
    )


def _first_event(place: Place, command: Command, next_run: str, types: Types) -> dict[str, Any]:
    """What the next run's first event says: it keeps the place its predecessor had."""
    old = place.started
    name = (command.name or b"").decode(errors="replace")
    known = types.workflows.get(name)
    if name and known is None:
        raise MissingBundle(
            f"continue-as-new asks for the workflow type {name!r}, which is not deployed: "
            "deploy it ('luaflow deploy'), and the run goes on"
        )
    started: dict[str, Any] = {key: old[key] for key in _KEPT if key in old}
    started |= {
        "v": 1,
        "rv": old.get("rv", 1),
        "type": known["type"] if known else place.type,
        "workflow_id": place.route.workflow_id,
        "run_id": next_run,
        "bundle": known["bundle"] if known else place.bundle,
        "task_queue": base_of(place.route.queue),
        "host": place.host,
        "client": place.client,
        "input": orjson.Fragment(command.data or b"[]"),
        "attempt": 1,
        "continued_from": place.route.run_id,
    }
    if known and known["type"] != place.type:
        # another type brings its own rule of which code its runs use
        started["versioning"] = known.get("versioning") or "pinned"
    if place.deadline:
        started["deadline"] = place.deadline
    if place.memo:
        started["memo"] = place.memo
    if place.search:
        started["search_attributes"] = place.search
    return started
