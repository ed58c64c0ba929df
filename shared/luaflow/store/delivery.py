"""The typed door to the scripts that move messages between partitions (design 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from luaflow.store.gate import Gate, gate_args
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.transitions import NOT_INDEXED, Indexed, Route


class Stamp(NamedTuple):
    """What identifies a message: sender, number, epoch; and the sender's oldest number.

    ``read_on`` is the run id of the server it was read on; another one refuses it ('': not known).
    """

    sender: int
    number: int
    epoch: int
    oldest: int = 0
    read_on: str = ""


def deliver_outcome(
    *, route: Route, stamp: Stamp, seq: int, type: str, body: bytes, final: bool
) -> Call:
    """Bring the answer to a request of a run into its history."""
    p, wid, rid, queue, sticky = route
    keys = [*p.of_run(wid, rid), p.leases, p.timers]
    keys += [p.workflow_queue(queue), p.sticky(sticky), p.mark(stamp.sender)]
    args: list[Arg] = [*stamp, rid, queue, sticky, seq, type, body, int(final)]
    return Call(load("deliver_outcome"), keys, args)


def deliver_message(
    *, route: Route, stamp: Stamp, type: str, body: bytes, yes: bytes, no: bytes
) -> Call:
    """Bring a signal or a cancel request of another run to its target; ``run_id`` '' = none."""
    p, wid, rid, queue, sticky = route
    keys = [p.meta, p.wf(wid), p.run(rid), p.hist(rid), p.leases, p.timers]
    keys += [
        p.workflow_queue(queue),
        p.sticky(sticky),
        p.mark(stamp.sender),
        p.outbox(stamp.sender),
    ]
    return Call(load("deliver_message"), keys, [*stamp, rid, queue, sticky, type, body, yes, no])


def deliver_end(
    *,
    route: Route,
    stamp: Stamp,
    body: bytes,
    receiver: int | None,
    message: bytes,
    yes: bytes,
    no: bytes,
) -> Call:
    """Terminate a run because another run asked for it."""
    p, wid, rid, _, _ = route
    keys = [
        p.meta,
        p.wf(wid),
        p.run(rid),
        p.hist(rid),
        p.pend(rid),
        p.leases,
        p.timers,
        p.vis,
        p.gc,
    ]
    keys += [p.mark(stamp.sender), p.outbox(stamp.sender), p.outbox(receiver or 0)]
    parent = "" if receiver is None else receiver
    return Call(load("deliver_end"), keys, [*stamp, rid, body, parent, message, yes, no])


def deliver_slot(
    *,
    route: Route,
    stamp: Stamp,
    granted: bool,
    wait: int,
    body: bytes,
    receiver: int | None,
    message: bytes,
) -> Call:
    """Let a run begin that waited for its slot, or end it: it is not to have one."""
    p, wid, rid, queue, _ = route
    keys = [*p.of_run(wid, rid), p.leases, p.timers, p.vis, p.gc, p.workflow_queue(queue)]
    keys += [p.mark(stamp.sender), p.outbox(receiver or 0)]
    args: list[Arg] = [*stamp, rid, queue, int(granted), wait, body]
    args += ["" if receiver is None else receiver, message]
    return Call(load("deliver_slot"), keys, args)


def deliver_start(
    *,
    route: Route,
    stamp: Stamp,
    type: str,
    bundle: str,
    parent: str,
    reuse: str,
    delay: int,
    run_timeout: int,
    deadline: int,
    yes: bytes,
    no: bytes,
    started: bytes,
    messages: Sequence[tuple[str, bytes]],
    conflict: str = "fail",
    at: int = 0,
    limit: int = 0,
    indexed: Indexed = NOT_INDEXED,
    gate: Gate | None = None,
) -> Call:
    """Start a child workflow in its partition."""
    p, wid, rid, queue, _ = route
    keys = [*p.of_run(wid, rid), p.workflow_queue(queue)]
    keys += [p.vis, p.timers, p.leases, p.mark(stamp.sender), p.outbox(stamp.sender)]
    box, waits = gate_args(p, gate)
    args: list[Arg] = [*stamp, rid, wid, type, queue, bundle, parent, conflict, reuse]
    args += [delay, run_timeout, deadline, at, limit, *indexed, *waits, yes, no, started]
    for name, body in messages:
        args += [name, body]
    return Call(load("deliver_start"), keys + box, args)


def forget_messages(
    *, partition: Partition, receiver: int, delivered: Sequence[tuple[int, int]], epoch: int = 0
) -> Call:
    """Remove delivered messages, by number and epoch, from the sender's outbox.

    ``epoch``: that of the sender when they were read; in another one they stay (0: not known).
    """
    p = partition
    keys = [p.meta, p.outbox(receiver), p.leases]
    return Call(load("forget_messages"), keys, [receiver, epoch, *chain.from_iterable(delivered)])
