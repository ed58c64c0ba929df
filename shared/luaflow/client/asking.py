"""Questions to a run: what its code answers on a replay, and what it shows without one."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from luaflow.archive import Archived, find_archived
from luaflow.client.messages import present
from luaflow.client.payloads import check_size
from luaflow.domain import values
from luaflow.domain.events import CLOSING, TASK_COMPLETED
from luaflow.domain.failure import Failure
from luaflow.domain.lanes import base_of
from luaflow.domain.sealed import clear
from luaflow.errors import (
    InvalidArgument,
    LuaflowError,
    NoAnswer,
    NotFound,
    QueryFailed,
    Refused,
    Unavailable,
)
from luaflow.store import keys
from luaflow.store.asking import ask, forget_ask
from luaflow.store.keys import Partition
from luaflow.store.link import Arg
from luaflow.store.past import read_events, wait_events
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow.store.transitions import Route

ASK_SECONDS = 10.0
"""How long an answer may take, unless the caller says otherwise."""
AGAIN_SECONDS = (5.0, 10.0, 20.0)
"""After how long a question is put again: the worker that took it may be gone."""
_PAUSES = {
    b"delayed": "its start delay",
    b"gated": "the moment at which it may begin",
    b"waiting": "a slot, its concurrency limit is reached",
}
"""Why a run has no workflow task, by its state."""


async def query(
    store: Store,
    workflow_id: str,
    run_id: str | None,
    name: str,
    args: Sequence[Any],
    timeout: float,
) -> Any:
    """Return the answer of a run's code, or the view of that name; see ``Handle.query``."""
    if not name:
        raise InvalidArgument("a query needs a name")
    values.encode(name)  # (text that is no UTF-8 is Invalid)
    given = encoded(store, args, f"the query {name!r}")
    if not args:
        with contextlib.suppress(NotFound):
            return await view(store, workflow_id, run_id, name)
    answer = await put(store, workflow_id, run_id, "query", name, given, timeout)
    if "unknown" in answer:
        raise NotFound(answer["unknown"])
    if "failure" in answer:
        raise QueryFailed(**told(Failure.from_json(answer["failure"])))
    return clear(values.decode(answer["result"]))


def told(failure: Failure) -> dict[str, Any]:
    """Return what an exception keeps of a failure."""
    details = values.decode(failure.details) if failure.details else None
    return {
        "message": failure.message or "the code gave no reason",
        "kind": failure.kind,
        "retryable": failure.retryable,
        "details": details,
    }


def encoded(store: Store, args: Sequence[Any], what: str) -> list[Any]:
    """Return arguments as they travel. Raises Invalid for values that cannot, Refused for many."""
    given = [values.encode(one) for one in args]
    check_size(orjson.dumps(given), store.settings, what)
    return given


# -- views -----------------------------------------------------------------------------------------


async def view(store: Store, workflow_id: str, run_id: str | None, name: str) -> Any:
    """Return what the run shows under a name, as of its last decision; NotFound names the others.

    A run that continued as new and has decided nothing yet shows what the one before it did.
    """
    try:
        text, names = await _shown(store, await follow(store, workflow_id, run_id), name)
    except NotFound:
        kept = await find_archived(store, workflow_id, run_id)
        if kept is None:
            raise
        text = kept.state.get(f"v:{name}", "").encode(errors="surrogateescape")
        names = orjson.loads(kept.state.get("views") or "[]")
    if text:
        return clear(values.loads(text))
    known = f"it shows {', '.join(names)}" if names else "it shows none"
    raise NotFound(f"the workflow {workflow_id!r} has no view {name!r}; {known}")


async def _shown(store: Store, route: Route, name: str) -> tuple[bytes, list[str]]:
    """Return a view of a run, b'' without, and the names of all. NotFound once it has left."""
    p, at = route.partition, route.run_id
    names: list[str] = []
    while True:
        command = ("HMGET", p.run(at), f"v:{name}", "views", "decided", "status")
        text, shown, decided, status = (await _trusted(store, p, command))[0]
        if status is None and at == route.run_id:
            raise NotFound(f"the run {at!r} of {route.workflow_id!r} is gone")
        names = names or orjson.loads(shown or b"[]")
        before = None if text or int(decided or 0) else await _before(store, p, at)
        if before is None:
            return bytes(text or b""), names
        at = before


async def _before(store: Store, p: Partition, run_id: str) -> str | None:
    """Return the run that continued as this one."""
    first = await read_events(store, p, run_id, 1, 1)
    found: str | None = first[0].body.get("continued_from") if first else None
    return found


async def _trusted(store: Store, p: Partition, *commands: tuple[Arg, ...]) -> list[Any]:
    """Read what is told to somebody outside; where that asks for it, others have it, too (5.5)."""
    return await (store.confirmed(p, *commands) if store.confirms else store.read(*commands))


async def views(store: Store, p: Partition, run_id: str) -> dict[str, Any]:
    """Return all views of a run."""
    (shown,) = await store.read(("HGET", p.run(run_id), "views"))
    names = orjson.loads(shown or b"[]")
    if not names:
        return {}
    (texts,) = await store.read(("HMGET", p.run(run_id), *(f"v:{name}" for name in names)))
    # in the form of a history, which the rest of a description has, too
    return {name: orjson.loads(t) for name, t in zip(names, texts, strict=True) if t}


# -- questions -------------------------------------------------------------------------------------


async def follow(store: Store, workflow_id: str, run_id: str | None) -> Route:
    """Return the run that is meant: the named one, or the one that goes on in its place."""
    route = await store.route(workflow_id, run_id)
    if run_id is None:
        return route
    (status,) = await store.read(("HGET", route.partition.run(route.run_id), "status"))
    if status == b"continued_as_new":
        return await present(store, route) or route
    return route


async def put(
    store: Store,
    workflow_id: str,
    run_id: str | None,
    kind: str,
    name: str,
    args: list[Any],
    timeout: float,
) -> dict[str, Any]:
    """Ask a run; the answer includes all that was in its history when this was called.

    Raises NotFound, Refused when the code cannot be asked, NoAnswer after ``timeout`` seconds.
    """
    try:
        return await _put_live(store, workflow_id, run_id, kind, name, args, timeout)
    except NotFound:
        kept = await find_archived(store, workflow_id, run_id)
        if kept is None:
            raise
        return await _put_archived(store, kept, kind, name, args, timeout)


async def _put_live(
    store: Store,
    workflow_id: str,
    run_id: str | None,
    kind: str,
    name: str,
    args: list[Any],
    timeout: float,
) -> dict[str, Any]:
    """Ask a run that is on the server; NotFound, too, when it leaves meanwhile."""
    route = await follow(store, workflow_id, run_id)
    try:
        async with asyncio.timeout(timeout):
            while True:
                length = await settled(store, route)
                now = await follow(store, workflow_id, route.run_id)
                if now.run_id != route.run_id:
                    route = now
                    continue
                question: dict[str, Any] = {"kind": kind, "name": name, "input": args}
                question |= {"workflow_id": workflow_id, "run_id": route.run_id, "length": length}
                answer = await _ask(store, await _queue(store, route), question)
                if "behind" not in answer:
                    break
    except TimeoutError:
        what = "the query" if kind == "query" else "the validator of the update"
        raise NoAnswer(await why(store, route, f"{what} {name!r}", timeout)) from None
    if "problem" in answer:
        raise Refused(f"the workflow {workflow_id!r} cannot be asked: {answer['problem']}")
    return answer


async def _put_archived(
    store: Store, run: Archived, kind: str, name: str, args: list[Any], timeout: float
) -> dict[str, Any]:
    """Ask a run that has left the server: a worker finds its history in the archive, too."""
    question: dict[str, Any] = {"kind": kind, "name": name, "input": args}
    question |= {"workflow_id": run.workflow_id, "run_id": run.run_id, "length": len(run.events)}
    queue = base_of(run.state["queue"])
    try:
        async with asyncio.timeout(timeout):
            answer = await _ask(store, queue, question)
    except TimeoutError:
        raise NoAnswer(
            f"the query {name!r} had no answer within {timeout:g} s: no worker of the task queue"
            f" {queue!r} could answer for the archived workflow"
        ) from None
    if "problem" in answer or "behind" in answer:
        why_ = answer.get("problem", "the worker that was asked cannot read the archive")
        raise Refused(f"the workflow {run.workflow_id!r} cannot be asked: {why_}")
    return answer


async def settled(store: Store, route: Route) -> int:
    """Wait until the code has seen all that is in the history now; return how long it is then."""
    p, run_id = route.partition, route.run_id
    length, news, status = await store.read(
        *(("HGET", p.run(run_id), field) for field in ("len", "news", "status"))
    )
    if status is None:
        raise NotFound(f"the workflow {route.workflow_id!r} has no run {run_id!r} any more")
    last = wanted = int(length)
    if status != b"running" or int(news or 0) == 0:
        return wanted
    reader = Reader(store.url, "luaflow-ask")
    try:
        while True:
            for event in await wait_events(store, reader, route, last):
                last = event.id
                decided = event.type == TASK_COMPLETED and event.body["seen"] >= wanted
                if decided or event.type in CLOSING:
                    return last
    finally:
        await reader.close()


async def _queue(store: Store, route: Route) -> str:
    (queue,) = await store.read(("HGET", route.partition.run(route.run_id), "queue"))
    if queue is None:
        raise NotFound(f"the workflow {route.workflow_id!r} has no run {route.run_id!r} any more")
    return base_of(bytes(queue).decode())


async def _ask(store: Store, queue: str, question: dict[str, Any]) -> dict[str, Any]:
    """Put a question, again and again, until somebody answers."""
    ask_id = uuid.uuid4().hex
    owner = f"w:{question['workflow_id']}"
    text = await store.sealed(orjson.dumps({"id": ask_id, **question}), owner)
    told_: asyncio.Queue[bytes | None] = asyncio.Queue()
    channel = keys.answer(store.namespace, ask_id)
    try:
        await store.push.add(channel, told_.put_nowait)
        for attempt in range(1 << 30):
            full = await store.one(ask(namespace=store.namespace, queue=queue, text=text))
            if full[0] == b"full":
                raise Refused(
                    f"too many questions wait for the workers of the queue {queue!r}: add workers,"
                    " or show what is asked for often with workflow.set_view"
                )
            with contextlib.suppress(TimeoutError):
                wait = AGAIN_SECONDS[min(attempt, len(AGAIN_SECONDS) - 1)]
                answer = await asyncio.wait_for(told_.get(), wait)
                if answer is not None:
                    found: dict[str, Any] = orjson.loads(await store.opened(answer, owner))
                    return found
                if store.push.problem:
                    raise Unavailable(store.push.problem)
            await forget_ask(store, queue, text)
    finally:
        store.push.remove(channel, told_.put_nowait)
        with contextlib.suppress(LuaflowError):
            await forget_ask(store, queue, text)
    raise AssertionError("never")


async def why(store: Store, route: Route, what: str, timeout: float) -> str:
    """Return why nobody answered, in words for people."""
    run = route.partition.run(route.run_id)
    queue, task, stuck = (await store.read(("HMGET", run, "queue", "task", "stuck")))[0]
    name = base_of(bytes(queue or b"").decode())
    late = f"{what} had no answer within {timeout:g} s"
    if stuck:
        return f"{late}: the workflow is stuck, 'luaflow workflow describe' says why"
    if pause := _PAUSES.get(bytes(task or b"")):
        return f"{late}: the workflow waits for {pause}"
    if not await _polled(store, name):
        return f"{late}: no worker polls the task queue {name!r}; 'luaflow-worker --queue {name}'"
    return f"{late}: the workers of the task queue {name!r} are busy, or just gone"


async def _polled(store: Store, queue: str) -> bool:
    """Whether a worker that decides workflow tasks of the queue has lately said that it lives."""
    namespace = store.namespace
    (workers,) = await store.read(("ZREVRANGE", keys.workers(namespace), 0, 999))
    if not workers:
        return False
    records = await store.read(
        *(("HGET", keys.worker(namespace, bytes(w).decode()), "record") for w in workers)
    )
    found = (orjson.loads(record) for record in records if record)
    return any(queue in one["queues"] and one["role"] != "activity" for one in found)
