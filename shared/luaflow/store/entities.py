"""Entities: what is keyed by something else than a workflow id, in the partition of its key.

The relay brings requests here and carries the answers (``luaflow.store.relay``). A script may touch
only keys it declared, so whom a lock goes to next is read first; where that has changed meanwhile,
the script has the line looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from redis.exceptions import ResponseError

from luaflow.domain import locks
from luaflow.domain.ids import partition_of
from luaflow.store.delivery import Stamp
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.store import Store

KINDS = frozenset({"lock", "unlock"})
"""Messages that go to an entity: they name its ``key``, and no workflow."""
FIRST = 64
"""How many of a line are read before a lock is given back."""


class Line(NamedTuple):
    """A lock as it was read: who may be next, and who is to make room for a newcomer.

    ``ousts``: somebody is to make room, and ``oust`` is who ('' = nobody is left to be asked).
    """

    receivers: tuple[int, ...] = ()
    ousts: bool = False
    oust: str = ""
    who: str = ""


async def lines(store: Store, p: Partition, mails: Sequence[Mapping[str, Any]]) -> dict[int, Line]:
    """What must be known of the locks that messages are for, by the message's place."""
    back = [i for i, mail in enumerate(mails) if mail.get("k") == "unlock"]
    firsts = await store.ask(
        *(("ZRANGE", p.line(str(mails[i].get("key"))), 0, FIRST - 1) for i in back)
    )
    found = {
        i: Line(tuple(sorted({int(bytes(m).split(b"|")[0]) for m in members})))
        for i, members in zip(back, firsts, strict=True)
        if isinstance(members, list)
    }
    for i, mail in enumerate(mails):
        if mail.get("k") == "lock" and mail.get("slot", {}).get("strategy") == "cancel_running":
            found[i] = await _oldest(store, p, str(mail.get("key")))
    return found


async def _oldest(store: Store, p: Partition, key: str) -> Line:
    """Who is to make room: the oldest not asked yet, of those that run, then of the line."""
    (asked,) = await store.ask(("HGET", p.lock(key), "x"))
    if isinstance(asked, ResponseError):
        return Line()  # the message's script says what is wrong, and stops nobody else
    behind = f"({int(asked or 0)}"
    found = await store.ask(
        *(
            ("ZRANGEBYSCORE", name, behind, "+inf", "LIMIT", 0, 1)
            for name in (p.held(key), p.line(key))
        )
    )
    if any(isinstance(answer, ResponseError) for answer in found):
        return Line()
    first = found[0] or found[1]
    if not first:
        return Line(ousts=True)
    oust = bytes(first[0]).decode()
    (who,) = await store.ask(("HGET", p.lock(key), f"i:{oust}"))
    return Line(ousts=True, oust=oust, who=bytes(who or b"").decode())


def call(
    store: Store, p: Partition, stamp: Stamp, mail: Mapping[str, Any], line: Line | None
) -> Call:
    """Return the call that applies a message to its entity; what is missing raises LookupError."""
    key, line = str(mail["key"]), line or Line()
    names = [p.meta, p.lock(key), p.held(key), p.line(key), p.leases, p.mark(stamp.sender)]
    if mail["k"] == "unlock":
        names += [p.outbox(p.number), *(p.outbox(n) for n in line.receivers)]
        args: list[Arg] = [*stamp, str(mail["member"]), p.number, locks.look_again(key)]
        return Call(load("deliver_unlock"), names, [*args, *line.receivers])
    sender, limit = mail["from"], int(mail["limit"])
    room = locks.MOST_WAITING if mail.get("wait") else 0
    receiver = partition_of(line.who, len(store.partitions)) if line.oust else stamp.sender
    names += [p.outbox(stamp.sender), p.outbox(receiver)]
    args = [*stamp, locks.member_of(sender, int(mail["seq"])), str(sender["workflow_id"]), limit]
    args += [room, locks.granted(mail), locks.refused(mail, locks.not_free(mail)), int(line.ousts)]
    args += [line.oust, receiver, _make_room(mail, line) if line.oust else b""]
    return Call(load("deliver_lock"), names, args)


def disown(store: Store, key: str, member: str, who: str, entity: int) -> Call:
    """The call by which a run that is gone gives a lock back; ``who`` is its workflow id."""
    home, run_id, _ = member.split("|")
    p = store.partitions[int(home)]
    names = [p.meta, p.run(run_id), p.wf(who), p.leases, p.outbox(entity)]
    return Call(load("disown"), names, [run_id, entity, locks.give_back(key, member)])


def _make_room(mail: Mapping[str, Any], line: Line) -> bytes:
    """What the run is told that is to make room for a newer one; no other one of its id is."""
    newer = mail["from"]["workflow_id"]
    body = {"reason": f"workflow '{newer}' takes its place (concurrency limit {mail['limit']})"}
    cancel = {"k": "message", "workflow_id": line.who, "type": "WorkflowExecutionCancelRequested"}
    cancel["chain"] = locks.run_of(line.oust)
    return orjson.dumps({**cancel, "body": body, "from": None, "seq": 0, "ok": "", "failed": ""})
