"""Typed doors to scripts that open the next run of a chain, where no decision does."""

from __future__ import annotations

from luaflow.domain.events import CLOSING_EVENT
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.transitions import NOT_INDEXED, Indexed, Route


def retry_run(
    *,
    route: Route,
    next_run: str,
    type: str,
    bundle: str,
    attempt: int,
    run_timeout: int,
    started: bytes,
    closing: bytes,
    at: int,
    indexed: Indexed = NOT_INDEXED,
) -> Call:
    """Close a run that is out of its run timeout, and open the next one, which begins ``at``.

    ``at`` is namespace time in ms, and counts from now when negative.
    """
    p, wid, rid, queue, _ = route
    keys = [*p.of_run(wid, rid), p.leases, p.timers, p.vis, p.gc]
    keys += [p.workflow_queue(queue), p.run(next_run), p.hist(next_run), p.pend(next_run)]
    status = "timed_out"
    args: list[Arg] = [rid, queue, next_run, type, bundle, attempt, run_timeout, started, closing]
    args += [status, CLOSING_EVENT[status], at, *indexed]
    return Call(load("retry_run"), keys, args)


def continue_slice(*, route: Route, next_run: str, cursor: int) -> Call:
    """Copy a slice of the messages of a run that continues as new; the last one opens the next run.

    ``next_run`` and ``cursor`` are the fields ``n:next`` and ``n:slices`` of ``pend``, as read.
    """
    p, wid, rid, queue, _ = route
    keys = [*p.of_run(wid, rid), p.leases, p.timers, p.vis]
    keys += [p.gc, p.workflow_queue(queue), p.run(next_run), p.hist(next_run), p.pend(next_run)]
    return Call(load("continue_slice"), keys, [rid, next_run, queue, cursor])
