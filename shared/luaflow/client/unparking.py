"""What an operator does about what is parked or stuck: try it now, or fail it."""

from __future__ import annotations

from typing import Final

import orjson

from luaflow.domain.failure import Failure
from luaflow.domain.retry import activity_ended
from luaflow.errors import NotFound, Refused
from luaflow.store import jobs, transitions
from luaflow.store.attempts import Proof, Record, parse_record
from luaflow.store.jobs import SEQ, run_of
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow.store.transitions import Route

_STATE: Final = {
    "q": "waits in its queue",
    "r": "is running",
    "c": "is asked to stop",
    "x": "is canceled",
}


async def place_of_activity(
    store: Store, workflow_id: str, seq: int, run_id: str | None = None
) -> tuple[Route, str]:
    """Where an activity of a workflow is: the route of its run, and its number as text."""
    return await store.route(workflow_id, run_id), str(seq)


def place_of_job(store: Store, job_id: str) -> tuple[Route, str]:
    """The same of a plain job."""
    return Route(store.partition(job_id), job_id, run_of(job_id), ""), SEQ


async def try_now(store: Store, place: tuple[Route, str]) -> int:
    """Let the next attempt of an activity that backs off begin now; return its number.

    Raises NotFound when it has ended, Refused when it does not wait for an attempt.
    """
    route, seq = place
    record = await _waiting(store, place)
    await _bring_forward(store, route.partition, f"r|{route.run_id}|{seq}")
    return record.attempt


async def give_up(store: Store, place: tuple[Route, str], reason: str, kind: str) -> None:
    """Fail an activity that backs off, for good: its workflow is told. Raises as ``try_now``."""
    route, seq = place
    record = await _waiting(store, place)
    failure = Failure(kind, reason, retryable=False)
    name, body = activity_ended(int(seq), failure, record.attempt)
    proof = Proof(state=record.proof)
    data = orjson.dumps(body)
    _, (verdict, *_) = await store.reach(
        route, lambda r: jobs.end_activity(route=r, seq=seq, proof=proof, type=name, body=data)
    )
    if verdict == b"fenced":
        raise Refused(f"{_name(place)} has gone on meanwhile: look at it again")


async def retry_task(store: Store, workflow_id: str, run_id: str | None = None) -> None:
    """Let the task of a stuck workflow be tried now. NotFound; Refused when it is not waiting."""
    route = await store.route(workflow_id, run_id)
    ((status, task),) = await store.read(
        ("HMGET", route.partition.run(route.run_id), "status", "task")
    )
    due = f"f|{route.run_id}"
    waits = (status, task) == (b"running", b"backoff")
    if not waits or not await _bring_forward(store, route.partition, due):
        raise Refused(f"the workflow {workflow_id!r} does not wait to be tried again")


async def _waiting(store: Store, place: tuple[Route, str]) -> Record:
    route, seq = place
    p = route.partition
    (status, text) = await store.read(
        ("HGET", p.owner(route.run_id), "status"), ("HGET", p.waits(route.run_id), f"a:{seq}")
    )
    if status != b"running" or text is None:
        raise NotFound(f"{_name(place)} is not there, or has ended already")
    record = parse_record(text)
    if record.state != "b":
        raise Refused(f"{_name(place)} does not wait for an attempt: it {_STATE[record.state]}")
    return record


def _name(place: tuple[Route, str]) -> str:
    route, seq = place
    if route.run_id == run_of(route.workflow_id):
        return f"the job {route.workflow_id!r}"
    return f"activity {seq} of {route.workflow_id!r}"


async def _bring_forward(store: Store, p: Partition, member: str) -> bool:
    """Make a date due now, and wake the schedulers; whether it was there."""
    (score,) = await store.read(("ZSCORE", p.timers, member))
    if score is None:
        return False
    found = bytes(score).decode()
    await store.one(
        transitions.put_off(partition=p, set_key=p.timers, member=member, score=found, delay=0)
    )
    await store.read(("PUBLISH", p.bell(), "0"))
    return True
