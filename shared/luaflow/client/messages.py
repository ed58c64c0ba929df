"""What a client does to a run that exists: messages, and its end from outside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from luaflow.client.payloads import dump, identity
from luaflow.client.session import Session
from luaflow.domain.events import CLOSING_EVENT
from luaflow.domain.failure import terminated
from luaflow.domain.messages import child_outcome
from luaflow.errors import NotFound, Refused
from luaflow.observe.logs import run_fields
from luaflow.store import transitions
from luaflow.store.link import Call
from luaflow.store.store import PATIENCE_SECONDS, Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

BUSY_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Pauses between two tries while a run's mailbox is shut (design 5.3); the last one goes on."""


class Closed(Refused):
    """The run is closed."""


def closed(workflow_id: str, status: str) -> Closed:
    """Return what is raised where a message comes too late."""
    return Closed(f"the workflow {workflow_id!r} is not running, it is {status}")


async def deliver(
    store: Store,
    session: Session,
    route: Route,
    type: str,
    body: bytes,
    *,
    more: Sequence[tuple[str, bytes]] = (),
    asked: str = "",
) -> Route:
    """Put a message into the history of a run, wherever it has moved; return where it was.

    ``more`` messages go with it; ``asked`` is the request's id, see ``session.asked_as``.

    Raises NotFound when there is no such run, Closed, or Refused when its mailbox stays shut.
    """
    with session.request(route.partition.number, asked) as request:

        def make(at: Route) -> Call:
            return transitions.message(route=at, type=type, body=body, more=more, request=request)

        route, answer = await reach_open_mailbox(store, route, make)
    if answer[0] == b"gone":
        raise NotFound(f"the workflow {route.workflow_id!r} has no run {route.run_id!r} any more")
    if answer[0] == b"closed":
        raise closed(route.workflow_id, bytes(answer[1]).decode())
    return route


async def reach_open_mailbox(
    store: Store, route: Route, make: Callable[[Route], Call]
) -> tuple[Route, list[Any]]:
    """Run a transition on a run, wherever it has moved, once its mailbox is open."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    attempt = 0
    while True:
        route, answer = await store.reach(route, make)
        if answer[0] != b"busy":
            return route, answer
        if loop.time() > end:
            raise Refused(
                f"the workflow {route.workflow_id!r} takes no messages while it closes, and did not"
                f" end within {PATIENCE_SECONDS:.0f} s: send it again"
            )
        await asyncio.sleep(BUSY_SECONDS[min(attempt, len(BUSY_SECONDS) - 1)])
        attempt += 1


async def terminate(store: Store, session: Session, route: Route, reason: str | None) -> bool:
    """End a run at once; its parent is told. False when it was closed already.

    A run that goes on under a new run id is followed. Raises NotFound.
    """
    while True:
        parent = await _parent(store, route)
        body: dict[str, Any] = {"identity": identity()}
        if reason:
            body["reason"] = reason
        with session.request(route.partition.number) as number:
            call = transitions.end_run(
                route=route,
                kind="",
                status="terminated",
                type=CLOSING_EVENT["terminated"],
                body=dump(body)[:-1],
                receiver=None if parent is None else int(parent["p"]),
                message=b"" if parent is None else _outcome(route, parent),
                request=number,
            )
            answer = await store.one(call)
        if answer[0] == b"ok":
            return True
        if answer[0] == b"gone":
            raise NotFound(f"there is no workflow with the id {route.workflow_id!r}")
        now = await present(store, route)
        if now is None or now.run_id == route.run_id:
            return False
        route = now


async def present(store: Store, route: Route) -> Route | None:
    """Where the chain of a run is now; None when another one has its workflow id."""
    p, workflow_id = route.partition, route.workflow_id
    found, first = await store.read(
        ("HMGET", p.wf(workflow_id), "run", "queue", "sticky", "first"),
        ("HGET", p.run(route.run_id), "first"),
    )
    # (a packed run that is the first and last one of its chain does not say so)
    if found[0] is None or (found[3] or found[0]) != (first or route.run_id.encode()):
        return None
    run, queue, sticky = (bytes(f or b"").decode() for f in found[:3])
    return Route(p, workflow_id, run, queue, sticky)


async def _parent(store: Store, route: Route) -> dict[str, Any] | None:
    (text,) = await store.read(("HGET", route.partition.run(route.run_id), "parent"))
    if not text:
        return None
    try:
        found: dict[str, Any] = orjson.loads(text)
        child_outcome(found, "", "", "terminated", {})
    except (ValueError, LookupError, TypeError, AttributeError):
        # (a run must end by this whatever is wrong with it)
        said = "run %s: its parent %r cannot be read, and is not told"
        log.warning(said, route.run_id, text, extra=run_fields(route))
        return None
    return found


def _outcome(route: Route, parent: dict[str, Any]) -> bytes:
    """The news for the parent of a terminated run."""
    slot = {"failure": terminated().to_json()}
    return child_outcome(parent, route.workflow_id, route.run_id, "terminated", slot)
