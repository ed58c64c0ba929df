"""The scenes of scripts that are about entities: locks, slots, rate limits (see ``scenes``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.protocol.hand import Hand

from luaflow.domain import locks
from luaflow.store import entities
from luaflow.store.delivery import Stamp
from luaflow.store.entities import Line
from luaflow.store.link import Call

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
    line = Line(there=1, oust="3|a|1", who="w-a")
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


ENTITY_SCENES: dict[str, Scene] = {
    "deliver_lock": _lock,
    "deliver_lock held": _lock_held,
    "deliver_lock refused": _lock_refused,
    "deliver_unlock": _unlock,
    "deliver_unlock last": _unlock_last,
}
