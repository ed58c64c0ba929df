"""Starting a workflow: options read, the first event written, policies carried out."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Final

from luaflow.client.gates import bring, gate_of, is_known, moment_of
from luaflow.client.messages import Closed, deliver, terminate
from luaflow.client.payloads import Message, check_size, dump, identity, signals
from luaflow.client.session import Session, asked_as
from luaflow.domain import values
from luaflow.domain.attributes import indexed
from luaflow.domain.cron import parse_cron
from luaflow.domain.events import AUTO_UPGRADE, FORMAT, RUNTIME_VERSION
from luaflow.domain.flow import Flow
from luaflow.domain.headers import Headers
from luaflow.domain.ids import Pid, check_name, closest, new_run_id
from luaflow.domain.lanes import base_of, lane_of
from luaflow.domain.options import (
    START_KEYS,
    TASK_TIMEOUT_MS,
    StartOptions,
    VersioningOverride,
    parse_start_options,
)
from luaflow.domain.sealed import is_tag
from luaflow.errors import AlreadyExists, InvalidArgument, NotFound, Refused
from luaflow.registry.schemas import check_input
from luaflow.store import transitions
from luaflow.store.clock import namespace_now
from luaflow.store.deployed import DeployedType, host_of, resolve, resolve_build
from luaflow.store.gate import Gate
from luaflow.store.keys import Partition
from luaflow.store.lanes import use_lane
from luaflow.store.store import Store
from luaflow.store.transitions import NOT_INDEXED, Indexed, Route

log = logging.getLogger(__name__)

TRIES: Final = 10
"""How often a start begins anew because the run it found ended meanwhile."""
_SIGNALED: Final = "WorkflowExecutionSignaled"


@dataclass(frozen=True, slots=True)
class Request:
    """One start, checked and written out; sending it again changes nothing.

    ``rate`` is the limit that was not asked yet when it may begin.
    """

    route: Route
    deployed: DeployedType
    options: StartOptions
    body: bytes
    messages: list[bytes]
    asked: str
    at: int = 0
    indexed: Indexed = NOT_INDEXED
    gate: Gate | None = None
    rate: Mapping[str, Any] | None = None

    @property
    def pid(self) -> str:
        """The process id that Lua code knows the run by."""
        return str(Pid(self.deployed.client, self.deployed.host, self.route.workflow_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to start a workflow; see ``Client.start``. ``headers``: the trace it belongs to."""

    id: str | None = None
    name: str | None = None
    host: str | None = None
    task_queue: str | None = None
    options: Mapping[str, Any] | None = None
    messages: Iterable[Message] = ()
    request_id: str | None = None
    memo: Mapping[str, Any] | None = None
    search_attributes: Mapping[str, Any] | None = None
    context: Mapping[str, Any] | None = None
    sender: str | None = None
    headers: Headers | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> StartOptions:
        """The options, arguments beating the table; warnings go to the log."""
        own = {
            "workflow.id": self.id,
            "workflow.task_queue": self.task_queue,
            "workflow.memo": self.memo,
            "workflow.search_attributes": self.search_attributes,
        }
        for key, value in self.more.items():
            if key not in START_KEYS:
                near = closest(key, START_KEYS)
                hint = f": did you mean {near!r}?" if near else ""
                raise TypeError(f"start() got an unexpected argument {key!r}{hint}")
            own[f"workflow.{key}"] = _plain(value)
        given = {key: value for key, value in own.items() if value is not None}
        options, warnings = parse_start_options({**(self.options or {}), **given}, name=self.name)
        for warning in warnings:
            log.warning("%s", warning)
        return options


def how_of(given: dict[str, Any]) -> How:
    """How to start a workflow, from the arguments of ``Client.start``."""
    named = {key: value for key, value in given.items() if key in _NAMED}
    return How(**named, more={key: value for key, value in given.items() if key not in _NAMED})


_NAMED: Final = frozenset(one.name for one in fields(How)) - {"more"}


async def prepare(
    store: Store,
    type: str,
    args: Iterable[Any],
    how: How,
    hear: Callable[[Partition], str] | None = None,
) -> Request:
    """Check everything about a start and write its first event.

    ``hear`` chooses the id of the run, unless the request does: that may have started it before,
    and it may have ended.
    Raises NotFound for a type nobody deployed, InvalidArgument for bad options, ids and values,
    Refused for payloads over the limit and for options that luaflow does not carry out.
    """
    for what, value in (("type", type), ("host", how.host), ("request id", how.request_id)):
        _check_text(value, what, optional=what != "type")
    options, asked, args = how.read(), asked_as("start", how.request_id), list(args)
    workflow_id = options.id or _fresh(type, how.request_id)
    partition = store.partition(workflow_id)
    if how.request_id is not None:
        run_id = _named(workflow_id, how.request_id)
    else:
        run_id = hear(partition) if hear else new_run_id()
    deployed = await _code(store, type, options.versioning_override)
    if how.host is not None:
        client, queue = await host_of(store, how.host)
        deployed = deployed._replace(
            host=how.host, client=client or deployed.client, task_queue=queue
        )
    queue = check_name(options.task_queue or deployed.task_queue, "the task queue")
    lane = lane_of(queue, _priority(options, deployed))
    await use_lane(store, lane)
    route = Route(partition, workflow_id, run_id, lane)
    at = await _first_turn(store, partition, options)
    started = _started(route, deployed, options, args, how)
    if at:
        started["cron_at"] = at
    if not any(map(is_tag, started["input"])):  # a schedule passes on what it cannot look into
        check_input(deployed.input_schema, started["input"], f"workflow {workflow_id!r}")
    body = dump(started)
    check_size(body, store.settings, f"the input of workflow {workflow_id!r}")
    messages = signals(how.messages, store.settings, how.sender, how.headers)
    places = Indexed(*indexed(started.get("search_attributes") or {}))
    gate, rate = gate_of(store, deployed.flow, deployed.type, started["input"], route)
    return Request(route, deployed, options, body, messages, asked, at, places, gate, rate)


def _priority(options: StartOptions, deployed: DeployedType) -> int:
    """The priority of a run: that of its start, else of its type; 0: the usual one."""
    given = options.priority.priority_key if options.priority else 0
    return given or (Flow.from_text(deployed.flow).priority if deployed.flow else 0)


async def _code(store: Store, type: str, override: VersioningOverride | None) -> DeployedType:
    """The code a run begins with, and whether it moves to newer code later."""
    if override is None:
        return await resolve(store, type)
    if override.mode == AUTO_UPGRADE:
        return (await resolve(store, type))._replace(versioning=AUTO_UPGRADE)
    build = await resolve_build(store, type, override.deployment_name, override.build_id)
    return build._replace(versioning="pinned")


async def _first_turn(store: Store, p: Partition, options: StartOptions) -> int:
    """When the first run of a cron begins (namespace time, ms); 0 without a cron."""
    if options.cron_schedule is None:
        return 0
    if options.start_delay_ms:
        raise InvalidArgument("workflow.start_delay must not be given with workflow.cron_schedule")
    now = await namespace_now(store, p)
    at = parse_cron(options.cron_schedule).after(now, now)
    if at is None:
        raise InvalidArgument(f"workflow.cron_schedule {options.cron_schedule!r} is never due")
    return at


def task_limit(options: StartOptions) -> int:
    """The time a workflow task may take; the default is no limit to a worker that is at it."""
    return options.task_timeout_ms if options.task_timeout_ms != TASK_TIMEOUT_MS else 0


def _plain(value: Any) -> Any:
    """A value as option tables have it: durations in milliseconds, also inside of tables."""
    if isinstance(value, timedelta):
        return value / timedelta(milliseconds=1)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _check_text(value: object, what: str, *, optional: bool) -> None:
    """Callers without a type checker get a word of ours, and not of the Redis client."""
    if value is None and optional:
        return
    if not isinstance(value, str) or not value:
        raise InvalidArgument(f"the {what} of a start must be text, not {value!r}")


def _fresh(type: str, request_id: str | None) -> str:
    if request_id is None:
        return uuid.uuid4().hex
    return _named(type, request_id)


def _named(*parts: str) -> str:
    """An id that the same request always gets: a repeat finds the run that the first one made."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _started(
    route: Route,
    deployed: DeployedType,
    options: StartOptions,
    args: Iterable[Any],
    how: How,
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "v": FORMAT,
        "rv": RUNTIME_VERSION,
        "type": deployed.type,
        "workflow_id": route.workflow_id,
        "run_id": route.run_id,
        "first_run_id": route.run_id,
        "bundle": deployed.bundle,
        "task_queue": base_of(route.queue),
        "host": deployed.host,
        "client": deployed.client,
        "input": [values.encode(arg) for arg in args],
        "context": values.encode(dict(how.context or {})),
        "attempt": 1,
        "identity": identity(),
    }
    if deployed.versioning:
        body["versioning"] = deployed.versioning
    if how.request_id:
        body["request_id"] = how.request_id
    if how.headers:
        body["headers"] = how.headers
    return body | {key: values.encode(value) for key, value in options.fields().items()}


async def open_run(store: Store, session: Session, request: Request) -> str:
    """Start the run as its id policies say; return the run id that the workflow id now has.

    A run that exists and may be used gets the startup messages instead. Raises AlreadyExists, and
    Refused when the server's memory is nearly full, or when the run that exists takes none.
    """
    route, options = request.route, request.options
    workflow_id = route.workflow_id
    ending = options.id_conflict_policy == "terminate_existing"
    ending = ending or options.id_reuse_policy == "terminate_if_running"
    using = options.id_conflict_policy == "use_existing" and not ending
    sure = False
    for _ in range(TRIES):
        if request.rate and (sure or not await is_known(store, route)):
            # a start that starts nothing would waste the moment: it asks when it is about to
            request = replace(request, gate=await moment_of(store, request.rate), rate=None)
        kind, run_id, *rest = await _send(store, session, request)
        if kind == "started":
            if request.gate and request.gate.ask:
                await bring(store, route.partition.number, request.gate.receiver)
            return run_id
        if kind == "full":  # what stands in the place of the run id is how full
            raise Refused(_full(run_id))
        if kind == "running" and using:
            if await _hand_over(store, session, request, run_id):
                return run_id
        elif kind == "running" and ending:
            reason = "a new run of its workflow id was started"
            await terminate(store, session, await store.route(workflow_id, run_id), reason)
            sure = True
        elif request.rate and rest and _may_reuse(options, rest[0]):
            sure = True
        else:
            status = rest[0] if rest else "running"
            raise AlreadyExists(_exists(workflow_id, run_id, status, options), run_id=run_id)
    raise Refused(f"the runs of {workflow_id!r} end before they can be used or ended: try again")


def _may_reuse(options: StartOptions, status: str) -> bool:
    """Whether a workflow id whose last run ended so may be used again."""
    if options.id_reuse_policy == "allow_duplicate_failed_only":
        return status not in ("running", "completed")
    return status != "running" and options.id_reuse_policy != "reject_duplicate"


async def _send(store: Store, session: Session, request: Request) -> list[str]:
    route, deployed, options = request.route, request.deployed, request.options
    conflict, reuse = options.id_conflict_policy, options.id_reuse_policy
    if reuse == "terminate_if_running":
        conflict, reuse = "terminate_existing", "allow_duplicate"
    if request.rate:
        reuse = "reject_duplicate"  # nothing may start before its limit was asked
    with session.request(route.partition.number, request.asked) as number:
        call = transitions.start(
            route=route,
            type=deployed.type,
            bundle=deployed.bundle,
            started=request.body,
            messages=[(_SIGNALED, body) for body in request.messages],
            conflict=conflict,
            reuse=reuse,
            delay=options.start_delay_ms or 0,
            run_timeout=options.run_timeout_ms or 0,
            deadline=-(options.execution_timeout_ms or 0),
            at=request.at,
            limit=task_limit(options),
            indexed=request.indexed,
            request=number,
            gate=request.gate,
        )
        answer = await store.one(call)
    return [bytes(part).decode() for part in answer if isinstance(part, bytes)]


async def _hand_over(store: Store, session: Session, request: Request, run_id: str) -> bool:
    """Give the startup messages to the run that exists, together; False when it ended before."""
    if not request.messages:
        return True
    first, *more = ((_SIGNALED, body) for body in request.messages)
    route = Route(request.route.partition, request.route.workflow_id, run_id, "")
    try:
        await deliver(store, session, route, *first, more=more, asked=request.asked)
    except (Closed, NotFound):
        return False
    return True


def _full(percent: str) -> str:
    return (
        f"Redis uses {percent}% of its memory: new starts are refused, running work goes on; raise "
        "maxmemory or shorten the retention"
    )


def _exists(workflow_id: str, run_id: str, status: str, options: StartOptions) -> str:
    if status == "running":
        return (
            f"a workflow with the id {workflow_id!r} is running (run {run_id}): use another id, or"
            " the id conflict policy use_existing or terminate_existing"
        )
    return (
        f"the workflow id {workflow_id!r} was used before (run {run_id}, {status}) and the id reuse"
        f" policy is {options.id_reuse_policy}: use another id or policy"
    )
