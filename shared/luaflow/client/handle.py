"""A handle: one run of a workflow, to await, to talk to, to look at."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

from luaflow.archive import Archived, find_archived
from luaflow.client import asking, looking, updates
from luaflow.client.damage import reading
from luaflow.client.ending import Ending
from luaflow.client.messages import deliver, terminate
from luaflow.client.payloads import check_size, dump, signal_body
from luaflow.client.session import Session, asked_as
from luaflow.client.updates import Update, Wait
from luaflow.domain import values
from luaflow.domain.events import CLOSING, Event
from luaflow.domain.failure import Failure, terminated
from luaflow.domain.ids import check_update_id
from luaflow.domain.sealed import clear
from luaflow.errors import InvalidArgument, NotFound, Refused, Unavailable, WorkflowFailed
from luaflow.observe.tracing import sending
from luaflow.store.keeping import keep_run
from luaflow.store.past import event_of, read_events, wait_events
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow.store.transitions import Route


class Handle:
    """One workflow; ``run_id`` None means whichever run its id has at the moment.

    A handle with a run id goes with that run and with those that continue it as new. ``pid`` is
    known where this client started the run; ``describe`` tells it for others. ``existed`` is True
    where ``start`` found the run at work, and made none.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        workflow_id: str,
        run_id: str | None = None,
        *,
        pid: str | None = None,
        queue: str = "",
        existed: bool = False,
    ) -> None:
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.pid = pid
        self.existed = existed
        self._store = store
        self._session = session
        self._partition = store.partition(workflow_id)
        self._route = Route(self._partition, workflow_id, run_id, queue) if run_id else None

    def __repr__(self) -> str:
        run = f", run_id={self.run_id!r}" if self.run_id else ""
        return f"Handle({self.workflow_id!r}{run})"

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result; the next runs of its chain are followed.

        Those are the runs that continue it as new, try it again, or are its next turn by cron.

        ``timeout`` is in seconds; TimeoutError after it. Raises WorkflowFailed (with the failure
        and the status) for every other end, NotFound when there is no such run, Unavailable when
        the server is gone and does not come back within half a minute, Unknown when the end was not
        confirmed by then, which the namespace's durability asks for.
        """
        async with asyncio.timeout(timeout):
            return await self.result_heard(Ending(self._store))

    async def result_heard(self, ending: Ending) -> Any:
        """The result, where the run's end may be listened for already; ends to listen."""
        run_id = self.run_id or await self._newest()
        while True:
            with self._reading():
                type, body = await self._closing(run_id, ending)
                if "new_run_id" not in body:
                    return _outcome(self.workflow_id, type, body)
                run_id, ending = str(body["new_run_id"]), Ending(self._store)

    async def signal(
        self,
        name: str,
        *payloads: Any,
        sender: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """Send a signal: when this returns it is in the history.

        ``sender`` is the PID that ``msg:from()`` answers. Signals of the same ``request_id`` are
        one, whoever sends them to this workflow id (it remembers the last 1,000). Raises NotFound,
        Refused when the run is closed, InvalidArgument for bad values.
        """
        if not name:
            raise InvalidArgument("a signal needs a name")
        with sending(f"SignalWorkflow:{name}", workflow_id=self.workflow_id) as sent:
            body = signal_body(name, payloads, self._store.settings, sender, sent.headers)
            asked = asked_as("signal", request_id)
            route = await self._message("WorkflowExecutionSignaled", body, asked)
            sent.set(run_id=route.run_id)
        self._keep(route)

    async def cancel(self, reason: str | None = None, *, request_id: str | None = None) -> None:
        """Ask the run to end; its code decides how. Raises NotFound, Refused when it is closed.

        Of the same ``request_id`` it is one request, as with ``signal``.
        """
        body = dump({"reason": reason} if reason else {})
        check_size(body, self._store.settings, "the reason")
        asked = asked_as("cancel", request_id)
        self._keep(await self._message("WorkflowExecutionCancelRequested", body, asked))

    async def query(self, name: str, *args: Any, timeout: float = asking.ASK_SECONDS) -> Any:
        """Ask the code of the workflow; nothing is recorded, a closed one answers, too.

        The answer includes all that was in the history before. ``__stack_trace`` is always there.
        A view of that name is answered without a worker, as of the last decision. Raises
        QueryFailed (an error of the code), NotFound (no workflow, no such query: it lists the
        others), Refused when the code cannot be rebuilt, NoAnswer after ``timeout`` seconds (it
        says why).
        """
        with self._reading():
            return await asking.query(
                self._store, self.workflow_id, self.run_id, name, args, timeout
            )

    async def view(self, name: str) -> Any:
        """What the workflow shows with ``workflow.set_view``; no worker is needed.

        Raises NotFound, which lists the views there are.
        """
        with self._reading():
            return await asking.view(self._store, self.workflow_id, self.run_id, name)

    async def update(
        self,
        name: str,
        *args: Any,
        update_id: str | None = None,
        wait: Wait = "completed",
        timeout: float | None = None,
        sender: str | None = None,
    ) -> Any:
        """Send an update and wait for its result; ``wait="accepted"``: only for that, and None.

        Updates of one ``update_id`` are one, whoever sends them: a repeat gets the same answer.
        Raises UpdateRejected, UpdateFailed (an error of the code), NotFound, Refused when the
        workflow is closed or closes without an answer, NoAnswer after ``timeout`` seconds.
        """
        end = None if timeout is None else asyncio.get_running_loop().time() + timeout
        how = {"update_id": update_id, "timeout": timeout, "sender": sender}
        update = await self._send_update(name, args, how)
        left = None if end is None else _left(end)
        return await (update.accepted(left) if wait == "accepted" else update.result(left))

    async def start_update(
        self,
        name: str,
        *args: Any,
        update_id: str | None = None,
        timeout: float | None = None,
        sender: str | None = None,
    ) -> Update:
        """Send an update and wait until the workflow accepts it; ``result()`` is the rest."""
        end = None if timeout is None else asyncio.get_running_loop().time() + timeout
        how = {"update_id": update_id, "timeout": timeout, "sender": sender}
        update = await self._send_update(name, args, how)
        await update.accepted(None if end is None else _left(end))
        return update

    async def _send_update(self, name: str, args: Sequence[Any], how: dict[str, Any]) -> Update:
        update_id = how.pop("update_id") or uuid.uuid4().hex
        with (
            self._reading(),
            sending(f"UpdateWorkflow:{name}", workflow_id=self.workflow_id) as sent,
        ):
            return await updates.send(
                self._store,
                self.workflow_id,
                self.run_id,
                name,
                args,
                update_id,
                headers=sent.headers,
                **how,
            )

    def get_update(self, update_id: str) -> Update:
        """The update of an id, to ask for its outcome later; nothing is asked of the server yet."""
        return Update(self._store, self.workflow_id, check_update_id(update_id), self.run_id)

    async def terminate(self, reason: str | None = None) -> None:
        """End the run at once, whatever its code does. Raises NotFound, Refused when closed."""
        check_size((reason or "").encode(), self._store.settings, "the reason")
        route = await self._reach()
        with self._reading():
            ended = await terminate(self._store, self._session, route, reason)
        if not ended:
            raise Refused(f"the workflow {self.workflow_id!r} is closed already")

    async def describe(self) -> dict[str, Any]:
        """What the run is and what it waits for, in the shape of design 10 and a ``pid``.

        ``views`` is what it shows, where it shows anything. Times are RFC 3339 text in UTC. Raises
        NotFound, and Unknown where what it says cannot be confirmed as the durability asks for.
        """
        with self._reading():
            return await self._describe()

    async def _describe(self) -> dict[str, Any]:
        route = await self._place()
        if isinstance(route, Archived):
            return looking.describe_archived(route)
        if self._store.confirms:
            # what was written before this write is confirmed with it
            await self._store.confirmed(self._partition)
        (found,) = await looking.describe(self._store, [(self._partition, route.run_id)])
        if found is None:  # it has left the server meanwhile
            return looking.describe_archived(await self._archived(route.run_id))
        views = await asking.views(self._store, self._partition, route.run_id)
        return found | ({"views": views} if views else {})

    async def history(self, *, follow: bool = False) -> AsyncIterator[Event]:
        """The events in order; with ``follow`` new ones as they come, until the run is closed.

        Raises NotFound when there is no such run.
        """
        route = await self._place()
        run_id = route.run_id
        if isinstance(route, Archived):
            for event in route.events:
                yield event
            return
        last = 0
        while True:
            with self._reading():
                events = await read_events(self._store, self._partition, run_id, last + 1)
                for event in events:
                    _ = event.body  # (read here, so that no event is given that cannot be)
            if not events:
                break
            for event in events:
                yield event
                last = event.id
                if event.type in CLOSING:
                    return
        (status,) = await self._store.read(("HGET", self._partition.run(run_id), "status"))
        if status is None:  # it has left the server meanwhile
            for event in (await self._archived(run_id)).events[last:]:
                yield event
        elif follow:
            async for event in self._follow(run_id, last):
                yield event

    async def _follow(self, run_id: str, last: int) -> AsyncIterator[Event]:
        route = Route(self._partition, self.workflow_id, run_id, "")
        reader = Reader(self._store.url, "luaflow-follow")
        try:
            while True:
                with self._reading():
                    events = await wait_events(self._store, reader, route, last)
                for event in events:
                    yield event
                    last = event.id
                    if event.type in CLOSING:
                        return
        finally:
            await reader.close()

    def _reading(self) -> AbstractContextManager[None]:
        return reading(f"the workflow {self.workflow_id!r}")

    async def _place(self) -> Route | Archived:
        """Where the run is; of a chain whose first run is archived, that one, not the present."""
        try:
            route = await self._reach()
        except NotFound:
            return await self._archived(self.run_id)
        if self.run_id and route.run_id != self.run_id:
            return await find_archived(self._store, self.workflow_id, self.run_id) or route
        return route

    async def _newest(self) -> str:
        """The present run of the workflow id, else the newest one that is archived."""
        try:
            return (await self._reach()).run_id
        except NotFound:
            return (await self._archived(None)).run_id

    async def _archived(self, run_id: str | None) -> Archived:
        """A run that has left the server; NotFound when it is in no archive either."""
        found = await find_archived(self._store, self.workflow_id, run_id)
        if found is None:
            which = f"the workflow {self.workflow_id!r} has no run {run_id!r}"
            without = f"there is no workflow with the id {self.workflow_id!r}"
            raise NotFound(f"{which if run_id else without} in '{self._store.namespace}'")
        return found

    async def pin(self) -> None:
        """Keep the run after its end until it is unpinned. Raises NotFound."""
        await self._keep_run("pin")

    async def unpin(self) -> None:
        """Let the retention of the run begin, now that it was pinned. Raises NotFound."""
        await self._keep_run("unpin")

    async def _keep_run(self, verb: Literal["pin", "unpin"]) -> None:
        route = await self._reach()
        call = keep_run(partition=route.partition, run_id=route.run_id, verb=verb)
        if (await self._store.one(call))[0] != b"ok":
            raise NotFound(f"the run {route.run_id!r} of {self.workflow_id!r} is gone")

    async def _reach(self) -> Route:
        return await self._store.route(self.workflow_id, self.run_id)

    async def _message(self, type: str, body: bytes, asked: str) -> Route:
        last = None
        while True:
            route = self._route or await self._reach()
            try:
                with self._reading():
                    return await deliver(self._store, self._session, route, type, body, asked=asked)
            except NotFound:
                # removed since it was looked for: another run may have the id by now
                if self._route or route.run_id == last:
                    raise
                last = route.run_id

    def _keep(self, route: Route) -> None:
        """Remember where the run was reached; without a run id each call asks anew."""
        if self.run_id is not None:
            self._route = route

    async def _closing(self, run_id: str, ending: Ending) -> tuple[str, dict[str, Any]]:
        """Wait for a run's last event; return its type and body."""
        # subscribe, then read, then wait: an end between the first two is told twice, never missed;
        # where the durability asks for more than one server's word, what is told is but a hint
        news: bytes | None = None
        try:
            if ending.sure:
                news = await ending.told.get()
            else:
                await ending.listen(self._partition, run_id)
            while True:
                type, _, raw = (news or b"").partition(b"\n")
                if raw and not self._store.looks_again:
                    return type.decode(), Event(0, 0, "", raw).body
                if event := await self._last_event(run_id):
                    return event.type, event.body
                news = await ending.told.get()
                if news is None and self._store.push.problem:
                    raise Unavailable(self._store.push.problem)
        finally:
            ending.close()

    async def _last_event(self, run_id: str) -> Event | None:
        """The end of a run, None while it has none; never one that may be lost (design 5.5)."""
        store, p = self._store, self._partition
        state = ("HGET", p.run(run_id), "status")
        last = ("XREVRANGE", p.hist(run_id), "+", "-", "COUNT", 1)
        status, entries = await store.read(state, last)
        if status not in {None, b"running"} and store.confirms:
            # read again, with the confirmation: the first answer may be another server's
            status, entries = await store.confirmed(p, state, last)
        if status == b"running" and entries:
            return None
        events = [event_of(entries[0])] if entries else await read_events(store, p, run_id)
        if status is None or not events:
            events = (await self._archived(run_id)).events
        return events[-1]


def _left(end: float) -> float:
    return max(0.0, end - asyncio.get_running_loop().time())


def _outcome(workflow_id: str, type: str, body: dict[str, Any]) -> Any:
    status = CLOSING[type]
    if status == "completed":
        return clear(values.decode(body.get("result")))
    if status == "terminated":
        failure = terminated()
        reason = f" ({body['reason']})" if body.get("reason") else ""
        message = f"{failure.message}{reason}"
    else:
        failure = Failure.from_json(body.get("failure") or {})
        message = failure.message or f"the workflow {workflow_id!r} is {status}"
    details = values.decode(failure.details) if failure.details else None
    raise WorkflowFailed(
        message, kind=failure.kind, retryable=failure.retryable, details=details, status=status
    )
