"""Poison: an activity under which its workers die again and again is parked.

An attempt whose worker was lost is tried again under its retry policy, at once, for worker after
worker. How often in a row that was is kept with its last failure; from ``LIMIT`` on it is parked:
tried again after a minute, then two, at most every 16, whatever its policy says, and shown as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from luaflow.domain.failure import WORKER_LOST, Failure
from luaflow.domain.retry import engine_timeout

LIMIT: Final = 5
"""Workers lost in a row before an activity is parked; scripts have the same for workflow tasks."""
FIRST_MS: Final = 60_000
LONGEST_MS: Final = 16 * 60_000
_COUNT: Final = "_lost"


def lost_of(failure: Mapping[str, Any] | None) -> int:
    """How many workers in a row were lost by the attempt that ended with this failure (JSON)."""
    details = (failure or {}).get("details")
    return int(details.get(_COUNT, 0)) if isinstance(details, Mapping) else 0


def is_parked(failure: Mapping[str, Any] | None) -> bool:
    """Whether an activity with this last failure is parked."""
    return lost_of(failure) >= LIMIT


def counted(failure: Failure, last: Mapping[str, Any] | None, worker: str) -> Failure:
    """The failure with the number of workers lost in a row; ``last`` is the one before it."""
    if engine_timeout(failure) != WORKER_LOST:
        return failure
    lost = lost_of(last) + 1
    details = {**(failure.details or {}), _COUNT: lost}
    if lost < LIMIT:
        return replace(failure, details=details)
    message = (
        f"{lost} workers in a row went silent under it, the last one was {worker}: it is parked; "
        "look for a crash, or an endless loop, in that worker's log; it is tried again after a "
        "minute, then two, at most every 16"
    )
    return replace(failure, message=message, details=details)


def pause_ms(failure: Failure, delay: int) -> int:
    """How long to wait before the next attempt, where its retry policy says ``delay`` ms."""
    lost = lost_of({"details": failure.details})
    if lost < LIMIT:
        return delay
    return max(delay, min(FIRST_MS << min(lost - LIMIT, 10), LONGEST_MS))
