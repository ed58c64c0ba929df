"""Starting a child workflow: who runs it, under which id, and what its first event says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from luaflow.domain.cron import parse_cron
from luaflow.domain.failure import Failure, Invalid
from luaflow.domain.flow import Flow
from luaflow.domain.ids import Pid, check_name, check_workflow_id, new_run_id
from luaflow.domain.lanes import base_of, lane_of, suffix_of
from luaflow.domain.options import StartOptions, parse_start_options
from luaflow.errors import InvalidArgument
from luaflow.lua.vm import Command
from luaflow.registry.schemas import check_input

if TYPE_CHECKING:
    from luaflow_worker.proposal import Proposal

INITIATED = "StartChildWorkflowExecutionInitiated"
FAILED = "StartChildWorkflowExecutionFailed"


class Types(NamedTuple):
    """What is deployed: workflow types (by type name and entry id) and worker entries (by id).

    ``use_lane`` is told of lanes that tasks are put into, ``pids`` are those of the registered
    names that messages go to.
    """

    workflows: Mapping[str, Mapping[str, Any]]
    hosts: Mapping[str, Mapping[str, Any]]
    use_lane: Callable[[str], None] = lambda _: None
    pids: Mapping[str, str] = MappingProxyType({})


def start_child(proposal: Proposal, c: Command) -> None:
    """Ask for a child; one that cannot be started is answered as a start that failed."""
    extra = orjson.loads(c.extra or b"{}")
    name = (c.name or b"").decode(errors="replace")
    host = extra.get("host") or proposal.place.host
    body: dict[str, Any] = {
        "seq": c.seq,
        "workflow": name,
        "input": orjson.Fragment(c.data or b"[]"),
    }
    body |= {"host": host, "wait": bool(extra.get("wait", False))}
    try:
        options, _ = parse_start_options(extra.get("options"), name=extra.get("name"), child=True)
        known = proposal.types.workflows.get(name)
        if known is None:
            raise _Missing(f"no deployed workflow is called '{name}': run 'luaflow deploy'")
        if options.namespace not in (None, proposal.place.namespace):
            raise Invalid(
                f"workflow.namespace must be '{proposal.place.namespace}', the parent's: a child in"
                f" '{options.namespace}' can be started by an activity, with a client"
            )
        proposal.place.check_size(c.data or b"[]", f"the arguments of {name}")
        schema = str(known.get("input_schema") or "")
        check_input(schema, orjson.loads(c.data or b"[]") if schema else (), f"workflow {name}")
        workflow_id = check_workflow_id(options.id or f"{proposal.place.route.run_id}_{c.seq}")
        queue = _queue(proposal, extra.get("host"), options)
    except (Invalid, InvalidArgument) as error:
        kind = "NotFound" if isinstance(error, _Missing) else "Invalid"
        failure = Failure(kind, error.message, retryable=False).to_json()
        body["input"] = []  # it may be what is too large
        proposal.answer_myself(
            c.seq, INITIATED, proposal.record(body), FAILED, {"seq": c.seq, "failure": failure}
        )
        return
    lane = _lane(proposal, queue, options, known)
    child = _Child(c, extra, options, known, host, workflow_id, lane)
    policy = options.parent_close_policy
    body |= {"workflow_id": workflow_id, "task_queue": queue, "parent_close_policy": policy}
    message = orjson.dumps(_start_message(proposal, child))
    proposal.place.children[c.seq] = workflow_id
    record = {"kind": "child", "workflow_id": workflow_id, "policy": policy}
    proposal.request(c.seq, INITIATED, proposal.record(body), workflow_id, message, record)


class _Missing(InvalidArgument):
    """There is no such workflow type, or no such worker entry."""


def _lane(proposal: Proposal, queue: str, options: StartOptions, known: Mapping[str, Any]) -> str:
    """The lane of a child: as asked for, as its type has it, else that of its parent."""
    given = options.priority.priority_key if options.priority else 0
    flow = known.get("flow")
    given = given or (Flow.from_text(flow).priority if flow else 0)
    lane = lane_of(queue, given) if given else queue + suffix_of(proposal.place.route.queue)
    proposal.types.use_lane(lane)
    return lane


def _queue(proposal: Proposal, host: str | None, options: StartOptions) -> str:
    """A worker entry stands for its queue; any other host is the name of a queue (contract 7.4).

    An entry id cannot be such a name: nobody would ever run the child.
    """
    if not host:
        queue = options.task_queue or base_of(proposal.place.route.queue)
        return check_name(queue, "the task queue")
    if known := proposal.types.hosts.get(host):
        return str(known["task_queue"])
    if ":" in host:
        raise _Missing(f"no deployed temporal.worker is called '{host}': run 'luaflow deploy'")
    return check_name(host, "the task queue")


class _Child(NamedTuple):
    """A child as it was asked for and as it is found to be."""

    command: Command
    extra: Mapping[str, Any]
    options: StartOptions
    known: Mapping[str, Any]
    host: str
    workflow_id: str
    queue: str


def _started(proposal: Proposal, child: _Child) -> dict[str, Any]:
    """The first event of the child."""
    c, extra, options, known, host, workflow_id, queue = child
    place, run_id = proposal.place, new_run_id()
    context = {**place.started.get("context", {}), **(extra.get("context") or {})}
    started: dict[str, Any] = {
        "v": 1,
        "rv": place.started.get("rv", 1),
        "type": known["type"],
        "workflow_id": workflow_id,
        "run_id": run_id,
        "first_run_id": run_id,
        "bundle": known["bundle"],
        "task_queue": base_of(queue),
        "host": host,
        "client": place.client,
        "pid": str(Pid(place.client, host, workflow_id)),
        "input": orjson.Fragment(c.data or b"[]"),
        "attempt": 1,
        "parent": {**proposal.me, "seq": c.seq, "pid": place.pid},
    }
    if known.get("versioning"):
        started["versioning"] = known["versioning"]
    if context:
        started["context"] = context
    if place.headers:
        started["headers"] = place.headers
    return started | options.fields()


def _first_turn(proposal: Proposal, options: StartOptions) -> int:
    """When the first run of a child with a cron begins; 0 without one."""
    if options.cron_schedule is None:
        return 0
    now = proposal.place.now
    return parse_cron(options.cron_schedule).after(now, now) or 0


def _policies(options: StartOptions, *, wait: bool) -> dict[str, str]:
    """What is done to a run that has the child's workflow id.

    Code that waits for the end of its child cannot take another's: it is told that there is one.
    """
    conflict, reuse = options.id_conflict_policy, options.id_reuse_policy
    if reuse == "terminate_if_running":
        conflict, reuse = "terminate_existing", "allow_duplicate"
    if conflict == "use_existing" and wait:
        conflict = "fail"
    return {"conflict": conflict, "reuse": reuse}


def _start_message(proposal: Proposal, child: _Child) -> dict[str, Any]:
    c, extra, options, known, _, workflow_id, queue = child
    started = _started(proposal, child)
    at = _first_turn(proposal, options)
    if at:
        started["cron_at"] = at
    parent = {**proposal.me, "seq": c.seq, "pid": started["pid"], "type": known["type"]}
    sender = proposal.place.pid
    return {
        "k": "start",
        "from": proposal.me,
        "seq": c.seq,
        "workflow_id": workflow_id,
        "run_id": started["run_id"],
        "type": known["type"],
        "queue": queue,
        "bundle": known["bundle"],
        "flow": known.get("flow", ""),
        "pid": started["pid"],
        "parent": orjson.dumps(parent).decode(),
        **_policies(options, wait=bool(extra.get("wait"))),
        "delay": options.start_delay_ms or 0,
        "at": at,
        "run_timeout": options.run_timeout_ms or 0,
        "deadline": -(options.execution_timeout_ms or 0),
        "started": started,
        "messages": [
            ["WorkflowExecutionSignaled", {"name": topic, "input": payloads, "from": sender}]
            for topic, *payloads in extra.get("messages") or []
            if topic
        ],
    }
