"""The health of runs as people see it: ok, or stuck, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from luaflow.domain import visibility
from luaflow.domain.poison import is_parked, lost_of
from luaflow.store.health import Sign, reasons
from luaflow.store.keys import Partition
from luaflow.store.store import Store

PARKED: Final = "parked"
"""The state of an activity that waits longer than its policy says: its workers died under it."""


def health_of(state: dict[str, bytes]) -> dict[str, Any]:
    """``state`` ok or stuck; a stuck run says why, and how often in a row it failed."""
    if state["status"] != b"running" or not state.get("stuck"):
        return {"state": "ok"}
    return {
        "state": "stuck",
        "reason": json_or_text(state["stuck"]),
        "failures": int(state.get("fails", b"0")) or int(state.get("lost", b"0")),
    }


def add_parked(run: dict[str, Any]) -> None:
    """Say of a run that is described which of its activities are parked: it is stuck on the first.

    A run whose own task fails is stuck on that.
    """
    for one in run["pending_activities"]:
        failure = one.get("last_failure")
        if not is_parked(failure):
            continue
        if one["state"] == "backing_off":
            one["state"] = PARKED
        if run["health"]["state"] == "ok":
            reason = {"reason": "activity", "seq": one["seq"], "activity": one["activity"]}
            run["health"] = {
                "state": "stuck",
                "reason": reason | {"message": failure["message"]},
                "failures": lost_of(failure),
            }


async def health_words(
    store: Store, places: Sequence[tuple[bytes, Partition]], answers: Sequence[Sequence[Any]]
) -> list[str]:
    """``ok`` or ``stuck`` for runs of which ``status … stuck parked`` were read."""
    signs = [
        Sign(p, visibility.run_of(place), *answer[-2:])
        for (place, p), answer in zip(places, answers, strict=True)
    ]
    found = await reasons(store, signs)
    return [
        visibility.STUCK if reason and answer[0] == b"running" else "ok"
        for reason, answer in zip(found, answers, strict=True)
    ]


def json_or_text(raw: bytes) -> Any:
    """What a field for people holds: JSON, or plain text."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode(errors="replace")
