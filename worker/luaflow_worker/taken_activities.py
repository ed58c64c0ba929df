"""Activity tasks as they were read from a stream, and the attempts they become once taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from luaflow.domain import values
from luaflow.domain.headers import read_headers
from luaflow.domain.retry import RetryPolicy
from luaflow.domain.sealed import SealedPayload, check_open
from luaflow.errors import LuaflowError
from luaflow.store import attempts
from luaflow.store.jobs import Take, take_jobs
from luaflow.store.keys import JOB, Partition
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_worker.attempt import Attempt
from luaflow_worker.limits import has_moment

USUAL: Final = RetryPolicy()
SEALED_MS: Final = 5000
"""After how long an attempt is offered again whose input could not be opened."""


class ActivityEntry(NamedTuple):
    """An activity task as it was read from a stream."""

    partition: Partition
    queue: str
    entry: str
    run_id: str
    workflow_id: str
    seq: str
    attempt: int


class SealedTask(SealedPayload):
    """What a taken attempt is given cannot be opened here; ``token`` is that of the attempt."""

    token = ""


class Taken(NamedTuple):
    """An attempt that was started, and the ms for which its activity had waited.

    ``passes``: it comes at the moment that its rate limits reserved for it.
    """

    attempt: Attempt
    waited: int
    passes: bool


Answer = Taken | LuaflowError | None
"""None: somebody else has it, or nobody wants it any more."""


async def take_all(
    store: Store, worker: str, tasks: Sequence[tuple[ActivityEntry, str]]
) -> list[tuple[ActivityEntry, Answer]]:
    """Start attempts, each under its token, in one round trip; plain jobs many in one script."""
    jobs: defaultdict[tuple[int, str], list[tuple[ActivityEntry, str]]] = defaultdict(list)
    others = []
    for e, token in tasks:
        if e.run_id.startswith(JOB):
            jobs[e.partition.number, e.queue].append((e, token))
        else:
            others.append((e, token))
    calls = [_take(worker, e, token) for e, token in others]
    calls += [_take_jobs(worker, group) for group in jobs.values()]
    answers = await store.apart(*calls)
    found: list[tuple[ActivityEntry, Answer]] = [
        (e, a if isinstance(a, LuaflowError) else _understood(_activity, e, token, a))
        for (e, token), a in zip(others, answers, strict=False)
    ]
    for group, a in zip(jobs.values(), answers[len(others) :], strict=True):
        if isinstance(a, LuaflowError):
            found += [(e, a) for e, _ in group]
        else:
            now = int(a[1])
            found += [
                (e, None if one == b"gone" else _understood(_job, e, token, one, now))
                for (e, token), one in zip(group, a[2:], strict=True)
            ]
    return found


def _understood(make: Callable[..., Taken | None], *answer: Any) -> Answer:
    """What an answer says, or why that cannot be told: it must not keep the others waiting."""
    try:
        return make(*answer)
    except SealedPayload as error:
        found = SealedTask(error.message)
        found.token = answer[1]
        return found
    except (LookupError, TypeError, ValueError) as error:
        return LuaflowError(f"its task cannot be understood: {error!r}")


async def put_off(store: Store, e: ActivityEntry, sealed: SealedTask) -> None:
    """Give an attempt back, to be taken where its key is known; it stays the same attempt."""
    store.look_soon(sealed)
    call = attempts.postpone_activity(
        partition=e.partition, run_id=e.run_id, seq=e.seq, token=sealed.token, delay=SEALED_MS
    )
    await store.one(call)


def _take(worker: str, e: ActivityEntry, token: str) -> Call:
    return attempts.take_activity(
        partition=e.partition,
        run_id=e.run_id,
        queue=e.queue,
        seq=e.seq,
        attempt=e.attempt,
        worker=worker,
        token=token,
        entry=e.entry,
    )


def _take_jobs(worker: str, group: Sequence[tuple[ActivityEntry, str]]) -> Call:
    first = group[0][0]
    tasks = [Take(e.workflow_id, e.attempt, token, e.entry) for e, token in group]
    return take_jobs(partition=first.partition, queue=first.queue, worker=worker, tasks=tasks)


def _activity(e: ActivityEntry, token: str, a: list[Any]) -> Taken | None:
    if a[0] != b"ok":
        return None
    scheduled, now, type_ = int(a[5]), int(a[6]), bytes(a[7]).decode()
    attempt = _attempt(e, token, (a[1], a[2], a[3], a[4], a[8], a[9]))
    attempt.workflow_type = type_
    queue, sticky = (bytes(name or b"").decode() for name in a[11:13])
    attempt.home = Route(e.partition, e.workflow_id, e.run_id, queue, sticky)
    return Taken(attempt, now - scheduled, has_moment(a[10], attempt.number, now))


def _job(e: ActivityEntry, token: str, a: list[Any], now: int) -> Taken:
    body, options, details, number, scheduled, start_to_close, heartbeat, moment = a
    attempt = _attempt(e, token, (body, options, details, number, start_to_close, heartbeat))
    return Taken(attempt, now - int(scheduled), has_moment(moment, attempt.number, now))


def _attempt(e: ActivityEntry, token: str, a: tuple[Any, ...]) -> Attempt:
    body, stored, details, number, start_to_close, heartbeat = a
    for text in (body, details):
        check_open(text or b"")
    event, options = orjson.loads(body), orjson.loads(stored) if stored else {}
    return Attempt(
        partition=e.partition,
        workflow_id=e.workflow_id,
        run_id=e.run_id,
        seq=int(e.seq),
        activity=event["activity"],
        input=orjson.dumps(event["input"]),
        token=token,
        queue=e.queue,
        number=int(number),
        start_to_close=int(start_to_close),
        heartbeat=int(heartbeat),
        heartbeat_details=values.loads(details) if details else None,
        policy=RetryPolicy.from_json(options["retry"]) if "retry" in options else USUAL,
        context=event.get("context") or {},
        job=event.get("job", ""),
        headers=read_headers(event.get("headers")),
    )
