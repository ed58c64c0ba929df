"""The typed door to each script that changes a run: one function a script, keyword arguments only.

A function returns a ``Call``; ``Store.run`` sends many of them together. What a script answers is
in its header (``scripts/<name>.lua``). Ids are text, times and durations milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from luaflow.domain.events import CLOSING_EVENT
from luaflow.store.gate import Gate, gate_args
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load


class Route(NamedTuple):
    """Where a run is reached: its partition and what the keys of its next task depend on."""

    partition: Partition
    workflow_id: str
    run_id: str
    queue: str
    sticky: str = ""


class RequestId(NamedTuple):
    """What a repeat of a request is recognised by (design 5.10).

    Its number in its client's session (0: no dedupe needed), and the id that its caller gave it
    ('': none): that is done once for each workflow id, whoever sends it, to whichever run.
    """

    session: str = "-"
    number: int = 0
    lowest: int = 0
    asked: str = ""


NO_REQUEST = RequestId()


class Indexed(NamedTuple):
    """The search attributes of a run: their places in the index, and their JSON; '' without any."""

    places: bytes = b""
    attrs: bytes = b""


NOT_INDEXED = Indexed()


def start(
    *,
    route: Route,
    type: str,
    bundle: str,
    started: bytes,
    messages: Sequence[tuple[str, bytes]] = (),
    conflict: str = "fail",
    reuse: str = "allow_duplicate",
    parent: str = "",
    attempt: int = 1,
    delay: int = 0,
    run_timeout: int = 0,
    deadline: int = 0,
    at: int = 0,
    limit: int = 0,
    indexed: Indexed = NOT_INDEXED,
    request: RequestId = NO_REQUEST,
    gate: Gate | None = None,
) -> Call:
    """Open the first run of a workflow id; ``deadline`` and ``at`` count from now when negative.

    It begins ``at`` whatever comes before; ``delay`` ends with the first message. ``limit``: the
    time a workflow task of it may take (0: as long as its worker is at it).
    """
    p, wid, rid, queue, _ = route
    keys = [*p.of_run(wid, rid), p.workflow_queue(queue)]
    keys += [p.session(request.session), p.vis, p.timers, p.leases]
    args: list[Arg] = [*request, rid, wid, type, queue, bundle]
    box, waits = gate_args(p, gate)
    args += [parent, conflict, reuse, attempt, delay, run_timeout, deadline, at, limit]
    args += [*indexed, *waits, started]
    for name, body in messages:
        args += [name, body]
    return Call(load("start"), keys + box, args)


def message(
    *,
    route: Route,
    type: str,
    body: bytes,
    more: Sequence[tuple[str, bytes]] = (),
    request: RequestId = NO_REQUEST,
) -> Call:
    """Put a signal, a cancel request or an update into the history of an open run.

    ``more`` messages go with it, all or none.
    """
    p, wid, rid, queue, sticky = route
    keys = [p.meta, p.wf(wid), p.run(rid), p.hist(rid), p.workflow_queue(queue), p.sticky(sticky)]
    keys += [p.session(request.session), p.leases, p.timers]
    args: list[Arg] = [*request, rid, queue, sticky]
    for name, text in ((type, body), *more):
        args += [name, text]
    return Call(load("message"), keys, args)


def update(*, route: Route, update_id: str, body: bytes) -> Call:
    """Put an update into the history of an open run; once for each id and chain of runs."""
    p, wid, rid, queue, sticky = route
    keys = [p.meta, p.wf(wid), p.run(rid), p.hist(rid), p.workflow_queue(queue), p.sticky(sticky)]
    keys += [p.leases, p.timers]
    return Call(load("update"), keys, [rid, queue, sticky, update_id, body])


def take_workflow(
    *,
    partition: Partition,
    run_id: str,
    stream: str,
    turn: int,
    worker: str,
    entry: str,
    cached_cid: str = "",
    cached: int = 0,
) -> Call:
    """Give a queued workflow task to the worker that read it."""
    p = partition
    keys = [p.meta, p.run(run_id), p.hist(run_id), p.leases, stream]
    return Call(load("take_workflow"), keys, [run_id, turn, worker, entry, cached_cid, cached])


def commit(
    *,
    route: Route,
    cid: str,
    turn: int,
    seen: int,
    worker: str,
    fused: bool,
    sticky: str,
    decision: bytes,
    results: Sequence[tuple[int, str, str, bytes, int]],
    operations: Sequence[Arg],
    others: Sequence[str],
    more: bool = False,
    sticky_ms: int = 0,
) -> Call:
    """Write one decision; ``others`` are the keys its operations name by index (from 10 on).

    With ``more`` the code asks for more in the next decision: the worker keeps the task.
    """
    p, wid, rid, _, _ = route
    keys = [*p.of_run(wid, rid), p.leases, p.timers, p.vis, p.gc]
    args: list[Arg] = [
        rid,
        cid,
        turn,
        seen,
        worker,
        "fused" if fused else "plain",
        sticky,
        sticky_ms,
        int(more),
        decision,
        len(results),
    ]
    for result in results:
        args += result
    return Call(load("commit"), [*keys, *others], [*args, *operations])


COMMIT_KEYS = 9
"""How many keys of ``commit`` come before those its operations name."""


def continue_as_new(
    *,
    route: Route,
    cid: str,
    turn: int,
    seen: int,
    worker: str,
    decision: bytes,
    closing: bytes,
    next_run: str,
    type: str,
    bundle: str,
    attempt: int,
    run_timeout: int,
    started: bytes,
    unread: Sequence[int],
    operations: Sequence[Arg],
    others: Sequence[str],
    status: str = "continued_as_new",
    at: int = 0,
    indexed: Indexed = NOT_INDEXED,
) -> Call:
    """Close a run and open the next one of its workflow id in one step.

    ``status`` is how the first one ended, ``at`` when the next one begins (see ``start``).
    """
    p, wid, rid, queue, sticky = route
    keys = [*p.of_run(wid, rid), p.leases, p.timers, p.vis, p.gc]
    keys += [p.workflow_queue(queue), p.run(next_run), p.hist(next_run), p.sticky(sticky)]
    keys.append(p.pend(next_run))
    args: list[Arg] = [
        rid,
        cid,
        turn,
        seen,
        worker,
        "plain",
        decision,
        closing,
        next_run,
        type,
        queue,
        bundle,
    ]
    args += [attempt, run_timeout, started, status, CLOSING_EVENT[status], at, *indexed]
    args += [len(unread), *unread, *operations]
    return Call(load("continue_as_new"), [*keys, *others], args)


CONTINUE_KEYS = 14
"""The same for ``continue_as_new``."""


def renew_task(
    *, partition: Partition, run_id: str, turn: int, worker: str, waits: bool = False
) -> Call:
    """Keep the lease of a workflow task; its decision ``waits`` for local activities."""
    p = partition
    args: list[Arg] = [run_id, turn, worker, int(waits)]
    return Call(load("renew_task"), [p.meta, p.run(run_id), p.leases], args)


def release_task(*, route: Route, turn: int, worker: str, keep: bool = False) -> Call:
    """Hand a workflow task back to the shared queue; ``keep``: to that of the worker itself."""
    p, wid, rid, queue, _ = route
    keys = [p.meta, p.wf(wid), p.run(rid), p.hist(rid), p.leases, p.workflow_queue(queue)]
    keys.append(p.sticky(worker))
    return Call(load("release_task"), keys, [rid, turn, worker, queue, int(keep)])


def fail_task(
    *, route: Route, turn: int, worker: str, delay: int, reason: bytes, cap: int = 60_000
) -> Call:
    """Say that a decision could not be made; it is tried again after ``delay`` ms … ``cap``."""
    p, wid, rid, _, _ = route
    keys = [p.meta, p.wf(wid), p.run(rid), p.leases, p.timers]
    return Call(load("fail_task"), keys, [rid, turn, worker, delay, reason, cap])


def fire_timer(*, route: Route, seq: str, body: bytes) -> Call:
    """Turn a timer that is due into TimerFired."""
    p, wid, rid, queue, sticky = route
    keys = [*p.of_run(wid, rid), p.timers, p.leases]
    keys += [p.workflow_queue(queue), p.sticky(sticky)]
    return Call(load("fire_timer"), keys, [rid, seq, queue, sticky, body])


def _wakeable(route: Route) -> list[str]:
    p, wid, rid, queue, sticky = route
    keys = [p.meta, p.wf(wid), p.run(rid), p.hist(rid), p.timers, p.leases]
    return [*keys, p.workflow_queue(queue), p.sticky(sticky)]


def wake_run(*, route: Route, kind: str) -> Call:
    """Give a run its task: it was delayed (``d``), gated by a rate (``g``), or paused (``f``)."""
    _, _, rid, queue, sticky = route
    return Call(load("wake_run"), _wakeable(route), [rid, kind, queue, sticky])


def expire_task(*, route: Route, score: str, reason: bytes) -> Call:
    """Move a task that was not read, or whose worker went silent, to the shared queue."""
    _, _, rid, queue, sticky = route
    return Call(load("expire_task"), _wakeable(route), [rid, score, queue, sticky, reason])


def requeue_task(*, route: Route, turn: int, entry: str = "") -> Call:
    """Rebuild a queued workflow task whose stream entry is lost.

    ``entry`` is what was found of it in the stream; it goes, whatever became of the task.
    """
    p, wid, rid, queue, _ = route
    keys = [p.meta, p.wf(wid), p.run(rid), p.hist(rid), p.leases, p.workflow_queue(queue)]
    return Call(load("requeue_task"), keys, [rid, turn, queue, entry])


def end_run(
    *,
    route: Route,
    kind: str,
    status: str,
    type: str,
    body: bytes,
    receiver: int | None = None,
    message: bytes = b"",
    request: RequestId = NO_REQUEST,
) -> Call:
    """End a run from outside; ``body`` is JSON without its last brace (unread messages follow)."""
    p, wid, rid, _, _ = route
    keys = [*p.of_run(wid, rid), p.session(request.session)]
    keys += [p.timers, p.leases, p.vis, p.gc, p.outbox(receiver or 0)]
    args: list[Arg] = [
        request.session,
        request.number,
        request.lowest,
        rid,
        kind,
        status,
        type,
        body,
    ]
    args += ["" if receiver is None else receiver, message]
    return Call(load("end_run"), keys, args)


def close_out(
    *,
    partition: Partition,
    run_id: str,
    items: Sequence[tuple[str, int | None, bytes]],
) -> Call:
    """Clean a slice of what a closed run still waited for; tell children of their parent's end.

    An item is a field of ``pend``, then receiver and message of the child to tell (None: nobody);
    with ``n:next`` comes its value: the run whose half-made history goes.
    """
    p = partition
    keys = [p.meta, p.run(run_id), p.pend(run_id), p.leases, p.timers]
    receivers = sorted({receiver for _, receiver, _ in items if receiver is not None})
    index = {receiver: len(keys) + 1 + i for i, receiver in enumerate(receivers)}
    keys += [p.outbox(receiver) for receiver in receivers]
    args: list[Arg] = [run_id]
    for field, receiver, body in items:
        if field == "n:next":
            keys.append(p.hist(body.decode()))
            args += [field, len(keys), 0, b""]
        elif receiver is None:
            args += [field, 0, 0, b""]
        else:
            args += [field, index[receiver], receiver, body]
    return Call(load("close_out"), keys, args)


def remove_run(*, partition: Partition, workflow_id: str, run_id: str) -> Call:
    """Remove every key of a closed run whose retention is over."""
    p = partition
    keys = [p.meta, p.wf(workflow_id), p.run(run_id), p.hist(run_id), p.pend(run_id), p.gc, p.vis]
    return Call(load("remove_run"), keys, [run_id])


def due(*, partition: Partition, limit: int, latest: int) -> Call:
    """Ask what a partition owes, and promise to be back within ``latest`` ms."""
    p = partition
    return Call(load("due"), [p.meta, p.timers, p.leases, p.gc], [limit, latest])


def drop_worker(
    *,
    partition: Partition,
    worker: str,
    queues: Sequence[str],
    tasks: Sequence[tuple[str, Route]] = (),
) -> Call:
    """Remove a worker that is gone: its sticky stream, its name in the groups of ``queues``.

    ``tasks`` are what was read of the stream, each with its run: they go to the shared queues.
    """
    p = partition
    names = [p.meta, p.leases, p.sticky(worker)]
    args: list[Arg] = [worker]
    for entry, (_, wid, rid, queue, _) in tasks:
        names += [p.wf(wid), p.run(rid), p.workflow_queue(queue)]
        args += [entry, rid, queue]
    names += [s for queue in queues for s in (p.workflow_queue(queue), p.activity_queue(queue))]
    return Call(load("drop_worker"), names, args)


def put_off(*, partition: Partition, set_key: str, member: str, score: str, delay: int) -> Call:
    """Look again in ``delay`` ms at a date nobody could act on; a date of a closed run goes."""
    p = partition
    kind, _, rest = member.partition("|")
    bound = set_key != p.gc and kind not in ("o", "z", "S")
    run = p.owner(rest.split("|")[0]) if bound else p.meta
    args: list[Arg] = [member, score, delay, int(bound), int(set_key == p.timers)]
    return Call(load("put_off"), [p.meta, run, set_key], args)
