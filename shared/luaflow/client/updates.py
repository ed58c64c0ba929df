"""Updates: messages to a workflow that wait for its answer (contract section 13)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import orjson

from luaflow.archive import find_archived
from luaflow.client import asking
from luaflow.client.messages import Closed, closed, present, reach_open_mailbox
from luaflow.client.payloads import check_size, dump
from luaflow.domain import values
from luaflow.domain.events import Event
from luaflow.domain.failure import Failure
from luaflow.domain.headers import Headers
from luaflow.domain.ids import check_update_id
from luaflow.domain.sealed import clear
from luaflow.errors import (
    InvalidArgument,
    NoAnswer,
    NotFound,
    Unavailable,
    UpdateFailed,
    UpdateRejected,
)
from luaflow.store import transitions
from luaflow.store.past import read_events
from luaflow.store.store import Store
from luaflow.store.transitions import Route

Wait = Literal["accepted", "completed"]
_ANSWERS = ("WorkflowExecutionUpdateCompleted", "WorkflowExecutionUpdateRejected")
VALIDATOR_SECONDS = 30.0
"""How long an update waits for a worker to judge it, unless the caller says otherwise."""


class Update:
    """One update that a workflow has got: its id, and its outcome, now or at any later time."""

    def __init__(
        self,
        store: Store,
        workflow_id: str,
        update_id: str,
        run_id: str | None,
        *,
        sure: bool = False,
    ) -> None:
        """``run_id``: a run of the chain that got it; ``sure``: that very run did."""
        self.workflow_id = workflow_id
        self.id = update_id
        self._store = store
        self._run_id = run_id
        self._sure = sure

    def __repr__(self) -> str:
        return f"Update({self.workflow_id!r}, {self.id!r})"

    async def accepted(self, timeout: float | None = None) -> None:
        """Wait until the workflow has accepted it; what becomes of it then, ``result`` says.

        Raises UpdateRejected, and what ``result`` raises when there is no answer.
        """
        await self._reach(timeout, accepted=True)

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the answer; a run that continues as new takes what is not accepted with it.

        Raises UpdateRejected or UpdateFailed for an error, Refused when the workflow closed without
        an answer, NotFound for an update nobody knows, NoAnswer after ``timeout`` seconds (the
        workflow may still answer: ask again).
        """
        event = await self._reach(timeout, accepted=False)
        assert event is not None
        return clear(values.decode(event.body.get("result")))

    async def _reach(self, timeout: float | None, *, accepted: bool) -> Event | None:
        try:
            async with asyncio.timeout(timeout):
                event = await self._outcome(accepted=accepted)
        except TimeoutError:
            route = await self._store.route(self.workflow_id)
            what = f"the update {self.id!r}, which the workflow has got,"
            raise NoAnswer(await asking.why(self._store, route, what, timeout or 0)) from None
        if event is not None and "failure" in event.body:
            rejected = event.type == "WorkflowExecutionUpdateRejected"
            kind = UpdateRejected if rejected else UpdateFailed
            raise kind(**asking.told(Failure.from_json(event.body["failure"])))
        return event

    async def _outcome(self, *, accepted: bool) -> Event | None:
        """Wait for the event that answers it; None: it is accepted, and that is enough."""
        try:
            return await self._live_outcome(accepted=accepted)
        except NotFound:
            run = await find_archived(self._store, self.workflow_id, self._run_id)
            mine = [e for e in run.events if e.body.get("update_id") == self.id] if run else []
            if not mine:
                raise
        if mine[-1].type in _ANSWERS:
            return mine[-1]
        raise Closed(
            f"the workflow {self.workflow_id!r} is over: it did not answer the update {self.id!r}"
        )

    async def _live_outcome(self, *, accepted: bool) -> Event | None:
        store = self._store
        route = await asking.follow(store, self.workflow_id, self._run_id)
        run_id = self._run_id if self._sure else (await _known(store, route, self.id)).run_id
        if not run_id:
            raise NotFound(f"the workflow {self.workflow_id!r} knows no update {self.id!r}")
        handed_on = False
        while True:
            found = await _wait(store, route, run_id, self.id, handed_on, accepted=accepted)
            if not isinstance(found, str):
                return found
            run_id, handed_on = found, True


async def send(
    store: Store,
    workflow_id: str,
    run_id: str | None,
    name: str,
    args: Sequence[Any],
    update_id: str,
    sender: str | None,
    timeout: float | None,
    headers: Headers | None,
) -> Update:
    """Bring an update into the history of a run; one that it knows by its id is that one.

    Where the run has a validator for it, a worker asks that first: what it rejects is recorded
    nowhere. Raises UpdateRejected then, NotFound, Refused when the run is closed.
    """
    if not name:
        raise InvalidArgument("an update needs a name")
    check_update_id(update_id)
    given = asking.encoded(store, args, f"the update {name!r}")
    route = await store.route(workflow_id, run_id)
    if run_id is not None:  # where its chain is now: updates go where signals go
        route = await present(store, route) or route
    known = await _known(store, route, update_id)
    if known.run_id:
        return Update(store, workflow_id, update_id, known.run_id, sure=True)
    seconds = VALIDATOR_SECONDS if timeout is None else timeout
    if known.fresh:
        # its code has not said yet which updates it judges
        await _first_decision(store, route, name, seconds)
        known = await _known(store, route, update_id)
    if name in known.validated:
        answer = await asking.put(
            store, workflow_id, route.run_id, "validate", name, given, seconds
        )
        if "failure" in answer:
            raise UpdateRejected(**asking.told(Failure.from_json(answer["failure"])))
    body: dict[str, Any] = {"name": values.encode(name), "input": given, "update_id": update_id}
    if sender:
        body["from"] = sender
    if headers:
        body["headers"] = headers
    raw = check_size(dump(body), store.settings, f"the update {name!r}")
    route, answer_ = await reach_open_mailbox(
        store, route, lambda at: transitions.update(route=at, update_id=update_id, body=raw)
    )
    if answer_[0] == b"gone":
        raise NotFound(f"the workflow {workflow_id!r} has no run {route.run_id!r} any more")
    if answer_[0] == b"closed":
        raise closed(workflow_id, bytes(answer_[1]).decode())
    return Update(store, workflow_id, update_id, bytes(answer_[-1]).decode(), sure=True)


class _Known(NamedTuple):
    """The run that has an update ('' = none); of the present one, which updates it judges."""

    run_id: str
    fresh: bool
    validated: list[str]


async def _known(store: Store, route: Route, update_id: str) -> _Known:
    p, run_id = route.partition, route.run_id
    fields = (f"u:{update_id}", "first", "decided", "status", "task", "validators")
    (found,) = await store.read(("HMGET", p.run(run_id), *fields))
    mine, first, decided, status, task, validators = (bytes(f or b"").decode() for f in found)
    # (an update does not wait for a start delay: it ends it)
    fresh = status == "running" and decided == "0" and task != "delayed"
    asked = f"q:update:{first or run_id}:{update_id}"
    (got,) = await store.read(("HGET", p.wf(route.workflow_id), asked))
    known = run_id if mine else bytes(got or b"").decode().partition("|")[2]
    return _Known(known, fresh, orjson.loads(validators or "[]"))


async def _first_decision(store: Store, route: Route, name: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await asking.settled(store, route)
    except TimeoutError:
        what = f"the update {name!r}, which was not recorded,"
        raise NoAnswer(await asking.why(store, route, what, seconds)) from None


# -- the outcome -----------------------------------------------------------------------------------


async def _wait(
    store: Store, route: Route, run_id: str, update_id: str, handed_on: bool, *, accepted: bool
) -> Event | str | None:
    """Wait for the answer of one run; text: the run that goes on in its place."""
    told: asyncio.Queue[bytes | None] = asyncio.Queue()
    channels = (route.partition.updated(run_id, update_id), route.partition.done(run_id))
    async with contextlib.AsyncExitStack() as stack:
        # subscribe, then read, then wait: an answer between the first two is told twice
        for channel in channels:
            await store.push.add(channel, told.put_nowait)
            stack.callback(store.push.remove, channel, told.put_nowait)
        while True:
            state, status, following = await _state(store, route, run_id, update_id)
            if not status:
                current = await store.route(route.workflow_id)
                if current.run_id == run_id:
                    raise NotFound(f"the workflow {route.workflow_id!r} has no run {run_id!r}")
                return current.run_id  # the retention of this one is over, the chain goes on
            if accepted and state[:1] in ("k", "d"):
                return None
            if state[:1] in ("n", "d"):
                return await _event(store, route, run_id, int(state[1:]))
            if not state and not handed_on:
                raise NotFound(f"the run {run_id!r} knows no update {update_id!r}")
            if status != "running" and following and state[:1] != "k":
                return following  # continued as new, tried again, or by cron: what it had not taken
            if status != "running":
                raise Closed(
                    f"the workflow {route.workflow_id!r} is {status}: it did not answer the update"
                    f" {update_id!r}{', which it had accepted' if state[:1] == 'k' else ''}"
                )
            if await told.get() is None and store.push.problem:
                raise Unavailable(store.push.problem)


async def _state(store: Store, route: Route, run_id: str, update_id: str) -> tuple[str, str, str]:
    """What a run knows of an update, its status, the run behind it; never what may be lost."""
    command = ("HMGET", route.partition.run(run_id), f"u:{update_id}", "status", "next")
    (found,) = await store.read(command)
    if store.confirms and found[1]:
        (found,) = await store.confirmed(route.partition, command)
    state, status, following = (bytes(part or b"").decode() for part in found)
    return state, status, following


async def _event(store: Store, route: Route, run_id: str, event: int) -> Event:
    found = await read_events(store, route.partition, run_id, event, event)
    if not found:
        raise NotFound(f"the workflow {route.workflow_id!r} has no run {run_id!r} any more")
    return found[0]
