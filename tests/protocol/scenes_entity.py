"""The scenes of scripts that are about entities: locks, slots, rate limits (see ``scenes``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.protocol.hand import QUEUE, Hand, activity, request

from luaflow.domain import locks
from luaflow.domain.flow import Plan
from luaflow.store import attempts, delivery, entities, gates, transitions
from luaflow.store.delivery import Stamp
from luaflow.store.entities import Line
from luaflow.store.gate import Gate
from luaflow.store.link import Call
from luaflow.store.lost_requests import Pending, ask_again, settle_request
from luaflow.store.scripts import load
from luaflow.store.store import Store
from luaflow.store.transitions import Route

Scene = Callable[[Hand], Awaitable[Call]]


def asks(run: str, *, wait: bool = True, limit: int = 1, **more: Any) -> dict[str, Any]:
    """A request of a run of partition 3 for the lock ``k``."""
    sender = {"p": 3, "workflow_id": f"w-{run}", "run_id": run}
    mail = {"k": "lock", "key": "k", "from": sender, "seq": 1, "limit": limit, "wait": int(wait)}
    return mail | more


def gives_back(run: str) -> dict[str, Any]:
    """That run's lock comes back."""
    return {"k": "unlock", "key": "k", "member": locks.member_of({"p": 3, "run_id": run}, 1)}


def brings(hand: Hand, number: int, mail: dict[str, Any], line: Line | None = None) -> Call:
    """The call that applies the ``number``-th message of partition 3 to partition 5."""
    return entities.call(hand.store, hand.store.partitions[5], Stamp(3, number, 1), mail, line)


async def _lock(hand: Hand) -> Call:
    return brings(hand, 1, asks("a"))


async def _lock_held(hand: Hand) -> Call:
    await hand.store.one(brings(hand, 1, asks("a")))
    line = Line(ousts=True, oust="3|a|1", who="w-a")
    return brings(hand, 2, asks("b", slot={"strategy": "cancel_running", "type": "t"}), line)


async def _lock_refused(hand: Hand) -> Call:
    await hand.store.one(brings(hand, 1, asks("a")))
    return brings(hand, 2, asks("b", wait=False))


async def _unlock(hand: Hand) -> Call:
    for number, run in enumerate("abc", 1):
        await hand.store.one(brings(hand, number, asks(run)))
    return brings(hand, 4, gives_back("a"), Line((3,)))


async def _unlock_last(hand: Hand) -> Call:
    await hand.store.one(brings(hand, 1, asks("a")))
    return brings(hand, 2, gives_back("a"))


async def _disown(hand: Hand) -> Call:
    await hand.store.one(brings(hand, 1, asks("a")))
    return entities.disown(hand.store, "k", locks.member_of({"p": 3, "run_id": "a"}, 1), "w-a", 5)


def gate(store: Store, route: Route) -> Gate:
    """That of a run whose type may run once at a time."""
    slot = {"key": "k", "limit": 1, "type": "t", "strategy": "queue"}
    found = gates.slot_gate(store, Plan(slot), route)
    assert found
    return found


async def _waiting(hand: Hand) -> Route:
    route = Route(hand.store.partition("w"), "w", "r", QUEUE)
    await hand.start_as(route, gate=gate(hand.store, route))
    return route


async def _start_gated(hand: Hand) -> Call:
    route = Route(hand.store.partition("w"), "w", "r", QUEUE)
    return transitions.start(
        route=route, type="t", bundle="b", started=b"{}", gate=gate(hand.store, route), delay=5
    )


async def _start_rated(hand: Hand) -> Call:
    route = Route(hand.store.partition("w"), "w", "r", QUEUE)
    return transitions.start(route=route, type="t", bundle="b", started=b"{}", gate=Gate(50))


def _slot(route: Route, *, granted: bool, wait: int = 0) -> Call:
    return delivery.deliver_slot(
        route=route,
        stamp=Stamp(3, 1, 1),
        granted=granted,
        wait=wait,
        body=b"{}" if granted else b"{",
        receiver=5,
        message=b"{}",
    )


async def _slot_granted(hand: Hand) -> Call:
    return _slot(await _waiting(hand), granted=True)


async def _slot_later(hand: Hand) -> Call:
    return _slot(await _waiting(hand), granted=True, wait=50)


async def _slot_refused(hand: Hand) -> Call:
    return _slot(await _waiting(hand), granted=False)


async def _wake_gated(hand: Hand) -> Call:
    route = Route(hand.store.partition("w"), "w", "r", QUEUE)
    await hand.start_as(route, gate=Gate(50))
    await hand.shift(50)
    return transitions.wake_run(route=route, kind="g")


async def _reserve(hand: Hand) -> Call:
    p = hand.store.partitions[5]
    return Call(load("reserve"), [p.meta, p.rate("k")], [2, 1000, 1])


async def _postpone(hand: Hand) -> Call:
    p = hand.store.partition("w")
    route, _ = await hand.idle("w", *activity(1), others=[p.activity_queue(QUEUE)])
    await hand.take_activity(route)
    return attempts.postpone_activity(
        partition=p, run_id=route.run_id, seq="1", token="a.t", delay=9
    )


async def _settle_request(hand: Hand) -> Call:
    mail = {"k": "message", "workflow_id": "x"}
    p = hand.store.partition("w")
    route, task = await hand.idle("w", *request(1, 5, mail), others=[p.outbox(5)])
    pending = Pending(route, 1, await hand.pending(route, "c:1"), task.seen)
    return settle_request(pending, "SignalExternalWorkflowExecutionFailed", b"{}", final=True)


async def _ask_again(hand: Hand) -> Call:
    mail = {"k": "message", "workflow_id": "x"}
    p = hand.store.partition("w")
    route, task = await hand.idle("w", *request(1, 5, mail), others=[p.outbox(5)])
    return ask_again(Pending(route, 1, await hand.pending(route, "c:1"), task.seen), 5, 1, b"{}")


ENTITY_SCENES: dict[str, Scene] = {
    "deliver_lock": _lock,
    "deliver_lock held": _lock_held,
    "deliver_lock refused": _lock_refused,
    "deliver_unlock": _unlock,
    "deliver_unlock last": _unlock_last,
    "disown": _disown,
    "settle_request": _settle_request,
    "ask_again": _ask_again,
    "start gated": _start_gated,
    "start rated": _start_rated,
    "deliver_slot": _slot_granted,
    "deliver_slot later": _slot_later,
    "deliver_slot refused": _slot_refused,
    "wake_run gated": _wake_gated,
    "reserve": _reserve,
    "postpone_activity": _postpone,
}
