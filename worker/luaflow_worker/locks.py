"""Locks: asking for one, giving it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from luaflow.domain import locks
from luaflow.domain.ids import partition_of
from luaflow.lua.vm import Command

if TYPE_CHECKING:
    from luaflow_worker.proposal import Proposal


def ask_for_lock(proposal: Proposal, c: Command) -> None:
    """Ask for a lock; the answer is an event, and the record is what gives it back at the end."""
    how = orjson.loads(c.extra or b"{}")
    key, limit, wait = (c.name or b"").decode(), int(how["limit"]), bool(how["wait"])
    body = proposal.record({"seq": c.seq, "key": key, "limit": limit, "wait": wait})
    message = locks.ask(proposal.me, c.seq, key, limit, wait=wait)
    record = {"kind": "lock", "key": key, "limit": limit}
    proposal.request(c.seq, "LockRequested", body, key, message, record)


def give_lock_back(proposal: Proposal, c: Command) -> None:
    """Give a lock, or a place in line, back: nobody answers that."""
    target, key = (c.name or b"").decode(), str(orjson.loads(c.extra or b"{}")["key"])
    receiver = partition_of(key, proposal.place.partitions)
    outbox = proposal.key(proposal.place.route.partition.outbox(receiver))
    body = proposal.record({"seq": c.seq, "target": int(target)})
    message = locks.give_back(key, locks.member_of(proposal.me, target))
    proposal.operations += ["F", c.seq, "LockReleased", body, outbox, receiver, message, target]
    proposal.receivers.add(receiver)
