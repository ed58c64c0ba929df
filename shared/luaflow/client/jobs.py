"""Plain jobs: a function entry run through a task queue, with no workflow around it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from luaflow.client.health import PARKED
from luaflow.client.looking import is_put_off, rfc3339
from luaflow.client.payloads import check_size
from luaflow.domain import values
from luaflow.domain.durations import duration_ms
from luaflow.domain.events import Event
from luaflow.domain.failure import Failure
from luaflow.domain.headers import Headers
from luaflow.domain.ids import check_name
from luaflow.domain.lanes import base_of, lane_of
from luaflow.domain.options import ActivityOptions, parse_activity_options
from luaflow.domain.poison import is_parked
from luaflow.domain.retry import RetryPolicy
from luaflow.domain.sealed import clear
from luaflow.errors import InvalidArgument, NotFound, Refused, Unavailable, WorkflowFailed
from luaflow.observe.tracing import sending
from luaflow.registry.schemas import check_input
from luaflow.store import jobs as store_jobs
from luaflow.store.attempts import parse_record
from luaflow.store.jobs import MAX_JOBS, SEQ, NewJob, run_of
from luaflow.store.keys import Partition
from luaflow.store.lanes import use_lane
from luaflow.store.link import table
from luaflow.store.store import Store

log = logging.getLogger(__name__)

KEEP_MS: Final = 24 * 3600 * 1000
"""How long an outcome is kept unless the job says otherwise."""
LEAST_KEEP_MS: Final = 60_000
"""The least: a repeated request of whoever started it, or waits for it, still finds it."""
STATUS: Final = {
    "running": "running",
    "ActivityTaskCompleted": "completed",
    "ActivityTaskFailed": "failed",
    "ActivityTaskTimedOut": "timed_out",
    "ActivityTaskCanceled": "canceled",
}


class Registered(NamedTuple):
    """What an app says of a function: its worker's queue, options of all calls, its schema."""

    queue: str
    options: Mapping[str, Any]
    input_schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHow:
    """How jobs run; see ``Client.enqueue``. ``entries``: what an app says of their functions."""

    queue: str | None = None
    entries: Mapping[str, Registered] = field(default_factory=dict)
    options: Mapping[str, Any] | None = None
    start_delay: object = None
    result_ttl: object = None
    context: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One of many for ``Client.enqueue_many``: an entry, its arguments, its id if it has one."""

    entry: str
    args: Sequence[Any] = ()
    id: str | None = None


class JobHandle:
    """One plain job, to await, to look at, to cancel.

    ``existed`` is True where a job of that id was there already, and none was made.
    """

    def __init__(self, store: Store, job_id: str, *, existed: bool = False) -> None:
        self.job_id = job_id
        self.existed = existed
        self._store = store
        self._partition = _partition(store, job_id)

    def __repr__(self) -> str:
        return f"JobHandle({self.job_id!r})"

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result; TimeoutError after ``timeout`` seconds.

        Raises WorkflowFailed (with the failure, and the job's status) for every other end,
        NotFound for a job that is not there (any more), Unavailable and Unknown as
        ``Handle.result``.
        """
        async with asyncio.timeout(timeout):
            type, raw = await self._outcome()
        body = Event(0, 0, type, raw).body
        if type == "ActivityTaskCompleted":
            return clear(values.decode(body.get("result")))
        failure = Failure.from_json(body.get("failure") or {})
        raise WorkflowFailed(
            failure.message or f"the job {self.job_id!r} is {STATUS[type]}",
            kind=failure.kind,
            retryable=failure.retryable,
            details=values.decode(failure.details) if failure.details else None,
            status=STATUS[type],
        )

    async def status(self) -> str:
        """``running``, ``completed``, ``failed``, ``timed_out`` or ``canceled``; NotFound."""
        return str((await self.describe())["status"])

    async def describe(self) -> dict[str, Any]:
        """What the job is, and how far; times are RFC 3339 text in UTC. Raises NotFound."""
        (flat,) = await self._store.read(("HGETALL", self._partition.job(self.job_id)))
        fields = table(flat)
        if not fields:
            raise self._missing()
        return _described(fields)

    async def cancel(self) -> None:
        """Ask the job to stop; one that does not run never will. NotFound, Refused when ended."""
        call = store_jobs.cancel_job(partition=self._partition, job_id=self.job_id)
        (verdict, *_) = await self._store.one(call)
        if verdict == b"gone":
            raise self._missing()
        if verdict == b"closed":
            raise Refused(f"the job {self.job_id!r} has ended already")

    async def _outcome(self) -> tuple[str, bytes]:
        told: asyncio.Queue[bytes | None] = asyncio.Queue()
        push, channel = self._store.push, self._partition.done(run_of(self.job_id))
        # subscribe, then read, then wait: see Handle.result
        try:
            await push.add(channel, told.put_nowait)
            news: bytes | None = None
            while True:
                type, _, raw = (news or b"").partition(b"\n")
                if raw and not self._store.looks_again:
                    return type.decode(), raw
                status, body = await self._end()
                if status != "running":
                    return status, body
                news = await told.get()
                if news is None and push.problem:
                    raise Unavailable(push.problem)
        finally:
            push.remove(channel, told.put_nowait)

    async def _end(self) -> tuple[str, bytes]:
        read = ("HMGET", self._partition.job(self.job_id), "status", "body")
        ((status, body),) = await self._store.read(read)
        if status not in {None, b"running"} and self._store.confirms:
            ((status, body),) = await self._store.confirmed(self._partition, read)
        if status is None:
            raise self._missing()
        return bytes(status).decode(), bytes(body or b"")

    def _missing(self) -> NotFound:
        return NotFound(
            f"there is no job {self.job_id!r} in '{self._store.namespace}': it never was, or its"
            " outcome is not kept any more"
        )


def _partition(store: Store, job_id: str) -> Partition:
    """The partition of a job; InvalidArgument for a text that is no id: the rules are one."""
    try:
        return store.partition(job_id)
    except InvalidArgument as error:
        raise InvalidArgument(error.message.replace("workflow id", "job id")) from None


def _described(fields: Mapping[str, bytes]) -> dict[str, Any]:
    def text(name: str) -> str:
        return bytes(fields.get(name, b"")).decode()

    found: dict[str, Any] = {
        "job_id": text("wid"),
        "run_id": text("rid"),
        "activity": text("name"),
        "task_queue": base_of(text("queue")),
        "status": STATUS[text("status")],
        "start_time": rfc3339(int(text("start"))),
    }
    if record := fields.get(f"a:{SEQ}"):
        one = parse_record(record)
        state = {"q": "scheduled", "r": "started", "b": "backing_off"}
        found |= {"state": state.get(one.state, "cancel_requested"), "attempt": one.attempt}
        if one.state == "b" and is_put_off(one, fields.get(f"p:{SEQ}")):
            found["state"] = "rate_limited"
        if one.state in ("r", "c"):
            found |= {"worker": one.worker, "started_time": rfc3339(one.started)}
        if one.deferred:
            found |= {"worker": None, "deferred": True}
    if failure := fields.get(f"f:{SEQ}"):
        found["last_failure"] = orjson.loads(failure)
        if is_parked(found["last_failure"]) and found.get("state") == "backing_off":
            found["state"] = PARKED
    if details := fields.get(f"h:{SEQ}"):
        found["heartbeat_details"] = values.loads(details)
    if close := text("close"):
        body = orjson.loads(fields["body"])
        found |= {"close_time": rfc3339(int(close)), "attempt": body.get("attempt")}
        if body.get("failure"):
            found["failure"] = body["failure"]
    return found


async def enqueue(store: Store, jobs: Iterable[Job], how: JobHow) -> list[JobHandle]:
    """Start jobs that share their options; one call a partition and 500 jobs, sent together.

    Raises InvalidArgument for bad ids, options and values (nothing is started then), Refused over
    a limit. A job whose id is there already stays as it is.
    """
    jobs = list(jobs)
    names = {job.entry for job in jobs}
    with sending(f"EnqueueJob:{names.pop()}" if len(names) == 1 else "EnqueueJobs") as sent:
        return await _enqueue(store, jobs, how, _shared_fields(how, sent.headers))


async def _enqueue(
    store: Store, jobs: Iterable[Job], how: JobHow, fields: bytes
) -> list[JobHandle]:
    shared: dict[str, store_jobs.How] = {}
    given: dict[str, tuple[NewJob, store_jobs.How]] = {}
    for job in jobs:
        if job.entry not in shared:
            shared[job.entry] = _shared(job.entry, how)
            await use_lane(store, shared[job.entry].queue)
        new = _new_job(store, job, how, fields)
        given.setdefault(new.job_id, (new, shared[job.entry]))
    groups: defaultdict[tuple[int, store_jobs.How], list[NewJob]] = defaultdict(list)
    for new, one in given.values():
        groups[_partition(store, new.job_id).number, one].append(new)
    parts = [
        (store.partitions[p], one, group[i : i + MAX_JOBS])
        for (p, one), group in groups.items()
        for i in range(0, len(group), MAX_JOBS)
    ]
    answers = await store.run(
        *(store_jobs.start_jobs(partition=p, how=one, jobs=part) for p, one, part in parts)
    )
    existed: dict[str, bool] = {}
    for (_, _, part), answer in zip(parts, answers, strict=True):
        if answer[0] == b"full":
            raise Refused(
                f"Redis uses {bytes(answer[1]).decode()}% of its memory: new jobs are refused,"
                " running work goes on; raise maxmemory"
            )
        existed |= {new.job_id: not one for new, one in zip(part, answer[1:], strict=True)}
    return [JobHandle(store, job_id, existed=existed[job_id]) for job_id in given]


def _new_job(store: Store, job: Job, how: JobHow, fields: bytes) -> NewJob:
    if not job.entry:
        raise InvalidArgument("a job needs the id of a function entry")
    args = values.encode(list(job.args))
    if registered := how.entries.get(job.entry):
        check_input(registered.input_schema, args, job.entry)
    run_id = uuid.uuid4().hex
    body = b'{"activity":%b,"input":%b,"job":"%b"%b}' % (
        orjson.dumps(job.entry),
        orjson.dumps(args, option=orjson.OPT_SORT_KEYS),
        run_id.encode(),
        fields,
    )
    check_size(body, store.settings, f"the input of the job {job.id or job.entry!r}")
    return NewJob(job.id if job.id is not None else run_id, run_id, job.entry, body)


def _shared_fields(how: JobHow, headers: Headers | None) -> bytes:
    context = b',"context":%b' % values.dumps(dict(how.context)) if how.context else b""
    return context + (b',"headers":%b' % orjson.dumps(headers) if headers else b"")


def _shared(entry: str, how: JobHow) -> store_jobs.How:
    registered = how.entries.get(entry)
    defaults = registered.options if registered else None
    options, warnings = parse_activity_options(entry, how.options, defaults)
    for warning in warnings:
        log.warning("%s", warning)
    queue = how.queue or options.task_queue or (registered.queue if registered else None)
    if not queue:
        raise InvalidArgument("which queue is the job for? give queue=NAME, or the app it is of")
    level = options.priority.priority_key if options.priority else 0
    keep = KEEP_MS if how.result_ttl is None else duration_ms(how.result_ttl, "result_ttl")
    delay = 0 if how.start_delay is None else duration_ms(how.start_delay, "start_delay")
    return store_jobs.How(
        lane_of(check_name(queue, "the task queue"), level),
        _stored(options),
        options.start_to_close_ms,
        options.heartbeat_ms or 0,
        options.schedule_to_start_ms or 0,
        options.schedule_to_close_ms or 0,
        delay,
        max(keep, LEAST_KEEP_MS),
    )


def _stored(options: ActivityOptions) -> bytes:
    """What schedulers and workers must know beyond the record; nothing when all is as usual."""
    kept: dict[str, Any] = {}
    if options.schedule_to_start_ms:
        kept["s2s"] = options.schedule_to_start_ms
    if options.retry_policy != RetryPolicy():
        kept["retry"] = options.retry_policy.to_json()
    return orjson.dumps(kept) if kept else b""


async def open_jobs(store: Store, limit: int) -> list[dict[str, Any]]:
    """The open jobs, the newest first, at most ``limit``."""
    pages = await store.read(
        *(("ZREVRANGE", p.jobs, 0, limit - 1, "WITHSCORES") for p in store.partitions)
    )
    found: list[tuple[float, Partition, str]] = [
        (float(score), p, bytes(job).decode())
        for p, page in zip(store.partitions, pages, strict=True)
        for job, score in zip(page[::2], page[1::2], strict=True)
    ]
    found.sort(key=lambda one: one[0], reverse=True)
    hashes = await store.read(*(("HGETALL", p.job(job)) for _, p, job in found[:limit]))
    return [_described(table(flat)) for flat in hashes if flat]
