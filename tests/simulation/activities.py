"""What the simulated activities do: as their specification says, and never without a trace."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from luaflow import activity
from luaflow.activity import ActivityError
from tests.simulation.loop import ACTOR


class Trace(NamedTuple):
    """One attempt that began, and how far it came."""

    activity: str
    run_id: str
    seq: int
    attempt: int
    key: str
    actor: str


async def work(spec: dict[str, Any]) -> dict[str, Any]:
    """Take ``ms``, fail the first ``fails`` attempts, beat if told to, return ``v``."""
    info, actor = activity.info(), ACTOR.get()
    assert actor is not None, "outside of the simulation"
    name, key = info.activity, info.idempotency_key
    actor.traces.append(Trace(name, info.run_id, info.seq, info.attempt, key, actor.name))
    left = spec.get("ms", 0)
    while left > 0:
        part = min(left, 400) if spec.get("beat") else left
        await asyncio.sleep(part / 1000)
        left -= part
        if spec.get("beat"):
            activity.heartbeat({"left": left})
    if info.attempt <= spec.get("fails", 0):
        raise ActivityError("not yet", kind="Unavailable", retryable=True)
    if spec.get("wrong"):
        raise ActivityError("never", kind="Conflict", retryable=False)
    return {"v": spec["v"]}
