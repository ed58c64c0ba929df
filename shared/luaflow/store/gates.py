"""Gates: what keeps the first task of a run waiting: its slot, its rate limit (``domain.flow``)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from redis.exceptions import ResponseError

from luaflow.domain import locks, messages
from luaflow.domain.flow import Plan
from luaflow.domain.flow import plan as plan_start
from luaflow.domain.ids import partition_of
from luaflow.store import delivery
from luaflow.store.delivery import Stamp
from luaflow.store.gate import Gate
from luaflow.store.keys import Partition
from luaflow.store.link import Call, ScriptFailed
from luaflow.store.scripts import load
from luaflow.store.store import Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)


class Reservation(NamedTuple):
    """What a rate limit said: how many may start now, and when the next one may (ms from now)."""

    granted: int
    wait: int


async def reserve(store: Store, rate: Mapping[str, Any], want: int = 1) -> Reservation:
    """Ask a rate limit for ``want`` starts: as many as are free now, else one moment to come."""
    key = str(rate["key"])
    p = store.partitions[partition_of(key, len(store.partitions))]
    args = [int(rate["limit"]), int(rate["per_ms"]), want]
    answer = await store.one(Call(load("reserve"), [p.meta, p.rate(key)], args))
    return Reservation(int(answer[1]), int(answer[2]))


async def wait_of(store: Store, rate: Mapping[str, Any]) -> int:
    """The ms that one start must wait for its moment, which is its own from now on."""
    return (await reserve(store, rate)).wait


def next_rated(mails: Sequence[Mapping[str, Any]], start: int) -> int:
    """The place, from ``start`` on, of the next message that asks a rate limit, or the end.

    A moment is given away for good, so a message asks when it is first of those to be applied:
    what stands behind one that must wait would ask again and again.
    """
    return next((i for i in range(start, len(mails)) if _rated(mails[i])), len(mails))


async def wait_of_first(store: Store, p: Partition, stamp: Stamp, mail: Mapping[str, Any]) -> int:
    """How long a run waits for its rate limit that is to be started, or has its slot.

    The moment is its own from now on, so it stands in the message: that may be looked at again.
    """
    rate = _rated(mail)
    if rate is None or not isinstance(mail, dict):
        return 0
    try:
        if "wait" not in mail and await _is_new(store, p, stamp):
            mail["wait"] = await wait_of(store, rate)
    except ScriptFailed as error:
        # a limit whose key is broken holds nobody up, least of all those behind this message
        log.error("a rate limit cannot be kept: %s", error)  # noqa: TRY400
    return int(mail.get("wait", 0))


async def _is_new(store: Store, p: Partition, stamp: Stamp) -> bool:
    """Whether nobody has brought a message yet; where that is not known its script decides."""
    (found,) = await store.ask(("HMGET", p.mark(stamp.sender), "e", "n"))
    if isinstance(found, ResponseError) or found[0] is None:
        return True
    return (stamp.epoch, stamp.number) > (int(found[0]), int(found[1]))


def _rated(mail: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The rate limit a message asks; None for nearly all."""
    try:
        return _rate_of(mail)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None  # it cannot be read, and will be answered so


def _rate_of(mail: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if mail.get("k") == "slot" and mail.get("granted"):
        rate: Mapping[str, Any] | None = mail.get("slot", {}).get("rate")
        return rate
    plan = _plan_of(mail) if mail.get("k") == "start" and mail.get("flow") else None
    return plan.rate if plan else None


def _plan_of(mail: Mapping[str, Any]) -> Plan | None:
    flow = str(mail.get("flow") or "")
    return plan_start(flow, str(mail["type"]), mail["started"]["input"]) if flow else None


def of_start(store: Store, p: Partition, mail: Mapping[str, Any], wait: int) -> Gate | None:
    """The gate of a run that a message starts."""
    route = Route(p, str(mail["workflow_id"]), str(mail["run_id"]), "")
    return slot_gate(store, _plan_of(mail), route, wait)


def of_slot(
    stamp: Stamp,
    mail: Mapping[str, Any],
    route: Route,
    parent: Mapping[str, Any] | None,
    wait: int,
) -> Call:
    """The call that tells a run whether it has its slot; a parent hears of one that is dropped."""
    granted, told = bool(mail["granted"]), b""
    slot = {} if granted else {"failure": mail["failure"]}
    if parent and not granted:
        told = messages.child_outcome(parent, route.workflow_id, route.run_id, "canceled", slot)
    body = orjson.dumps({"limit": mail["slot"]["limit"]} if granted else slot)
    return delivery.deliver_slot(
        route=route,
        stamp=stamp,
        granted=granted,
        wait=wait,
        body=body if granted else body[:-1],
        receiver=int(parent["p"]) if parent and told else None,
        message=told,
    )


def slot_gate(store: Store, plan: Plan | None, route: Route, wait: int = 0) -> Gate | None:
    """The gate of a run that is about to be started; None: it has none."""
    if plan is None:
        return None
    if plan.slot is None:
        return Gate(wait) if wait else None
    key, p = str(plan.slot["key"]), route.partition
    me = {"p": p.number, "workflow_id": route.workflow_id, "run_id": route.run_id}
    record = {"kind": "lock", "key": key, "limit": plan.slot["limit"]}
    # the slot outlives its run where that continues as new: who it is known as stays the same
    record["member"] = locks.member_of(me, 0)
    ask = orjson.loads(
        locks.ask(me, 0, key, int(plan.slot["limit"]), wait=plan.slot["strategy"] != "drop_new")
    )
    receiver = partition_of(key, len(store.partitions))
    ask["slot"] = {name: plan.slot[name] for name in plan.slot if name != "key"}
    # what it takes to ask once more, should a fail-over lose this request
    record |= {"slot": ask["slot"], "wait": ask["wait"]}
    return Gate(0, orjson.dumps(record), receiver, orjson.dumps(ask))
