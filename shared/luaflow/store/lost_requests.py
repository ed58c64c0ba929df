"""Requests of runs whose question or answer was lost in a fail-over: told now, or asked again."""

from __future__ import annotations

from typing import NamedTuple

from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.transitions import Route


class Pending(NamedTuple):
    """A request as it was read: its run, its number, its record, and the length of the history."""

    route: Route
    seq: int
    record: bytes
    length: int


def settle_request(pending: Pending, type: str, body: bytes, *, final: bool) -> Call:
    """The call that tells a run what became of its request, if it has heard nothing since."""
    p, wid, rid, queue, sticky = pending.route
    keys = [*p.of_run(wid, rid), p.leases, p.timers, p.workflow_queue(queue), p.sticky(sticky)]
    args: list[Arg] = [rid, queue, sticky, pending.seq, pending.record, pending.length]
    return Call(load("settle_request"), keys, [*args, type, body, int(final)])


def ask_again(pending: Pending, receiver: int, sent: int, message: bytes) -> Call:
    """The call that makes a request once more; ``sent``: the last number that went there."""
    p, _, rid, _, _ = pending.route
    keys = [p.meta, p.run(rid), p.pend(rid), p.leases, p.outbox(receiver)]
    args: list[Arg] = [pending.seq, pending.record, pending.length, receiver, sent, message]
    return Call(load("ask_again"), keys, args)
