"""Activities that are completed from outside, by the token that ``defer()`` gave out."""

from __future__ import annotations

import uuid
from typing import Any, Final, NoReturn

import orjson

from luaflow.client.payloads import check_size
from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.domain.retry import RetryPolicy, activity_ended, tried_again
from luaflow.domain.tokens import Token, parse_token
from luaflow.errors import NotFound, Refused
from luaflow.store import attempts, jobs
from luaflow.store.attempts import Proof, parse_record
from luaflow.store.keys import JOB
from luaflow.store.past import event_of, read_events
from luaflow.store.store import Store
from luaflow.store.transitions import Route

RECENT: Final = 500
"""Events looked through for our own completion, where its answer was lost."""
COMPLETED: Final = "ActivityTaskCompleted"


async def complete(store: Store, token: str, result: Any) -> None:
    """End the activity of a token with a result."""
    found = parse_token(token)
    body = {"seq": found.seq, "result": values.encode(result), "attempt": found.attempt}
    data = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    check_size(data, store.settings, "the activity's result")
    await _finish(store, found, COMPLETED, body)


async def fail(store: Store, token: str, failure: Failure) -> None:
    """Fail the attempt of a token; it is tried again where its retry policy says so."""
    found = parse_token(token)
    shape = failure.to_json()
    check_size(orjson.dumps(shape), store.settings, "the activity's failure")
    p = store.partition(found.workflow_id)
    ((options,),) = await store.read(("HMGET", p.waits(found.run_id), f"o:{found.seq}"))
    policy = RetryPolicy.from_json(orjson.loads(options or b"{}").get("retry") or {})
    delay = policy.next_delay_ms(found.attempt, failure)
    if delay is None or failure.kind == "Canceled":
        await _finish(store, found, *activity_ended(found.seq, failure, found.attempt))
        return
    told = orjson.dumps(tried_again(failure).to_json())
    (verdict, *_) = await store.one(
        attempts.retry_activity(
            partition=p,
            run_id=found.run_id,
            seq=str(found.seq),
            proof=Proof(token=found.token),
            delay=delay,
            failure=told,
        )
    )
    if verdict == b"fenced" and not await _failed_by_us(store, found, told):
        await _refuse(store, found)


async def heartbeat(store: Store, token: str, details: Any) -> bool:
    """Keep the attempt of a token alive; whether it is asked to stop."""
    found = parse_token(token)
    data = values.dumps(details) if details is not None else b""
    check_size(data, store.settings, "the details of a heartbeat")
    (verdict, *_) = await store.one(
        attempts.renew_activity(
            partition=store.partition(found.workflow_id),
            run_id=found.run_id,
            seq=str(found.seq),
            token=found.token,
            beat=True,
            details=data,
        )
    )
    if verdict == b"fenced":
        await _refuse(store, found)
    return bool(verdict == b"cancel")


async def _finish(store: Store, found: Token, type: str, body: dict[str, Any]) -> None:
    # whose completion it was is in it: a repeat, whose first answer was lost, finds its own
    mark = uuid.uuid4().hex
    data = orjson.dumps({**body, "by": mark}, option=orjson.OPT_SORT_KEYS)
    route = Route(store.partition(found.workflow_id), found.workflow_id, found.run_id, "")
    _, (verdict, *_) = await store.reach(
        route,
        lambda r: jobs.end_activity(
            route=r, seq=str(found.seq), proof=Proof(token=found.token), type=type, body=data
        ),
    )
    if verdict == b"fenced" and not await _finished_by_us(store, route, mark.encode()):
        await _refuse(store, found)


async def _finished_by_us(store: Store, route: Route, mark: bytes) -> bool:
    p, run_id = route.partition, route.run_id
    if run_id.startswith(JOB):
        (body,) = await store.read(("HGET", p.owner(run_id), "body"))
        return mark in bytes(body or b"")
    (entries,) = await store.read(("XREVRANGE", p.hist(run_id), "+", "-", "COUNT", RECENT))
    events = map(event_of, entries) if entries else await read_events(store, p, run_id)
    return any(mark in event.raw for event in events)


async def _failed_by_us(store: Store, found: Token, told: bytes) -> bool:
    """Whether this failure has been written already: the next attempt waits with it."""
    p = store.partition(found.workflow_id)
    ((record, failure),) = await store.read(
        ("HMGET", p.waits(found.run_id), f"a:{found.seq}", f"f:{found.seq}")
    )
    return bool(record and failure == told and parse_record(record).attempt == found.attempt + 1)


async def _refuse(store: Store, found: Token) -> NoReturn:
    """Say why a token means nothing any more."""
    p = store.partition(found.workflow_id)
    (status, record) = await store.read(
        ("HGET", p.owner(found.run_id), "status"),
        ("HGET", p.waits(found.run_id), f"a:{found.seq}"),
    )
    what = f"attempt {found.attempt} of activity {found.seq} of {found.workflow_id!r}"
    if record is None or status != b"running":
        raise NotFound(f"{what} cannot be told anything: the activity has ended already")
    now = parse_record(record).attempt
    raise Refused(f"{what} is over: attempt {now} has taken its place")
