"""What the server's refusals mean: which are sent again, which are a fault of what is stored."""

from __future__ import annotations

from redis.exceptions import ResponseError

TRANSIENT = frozenset(
    {
        "LOADING",
        "READONLY",
        "CLUSTERDOWN",
        "MASTERDOWN",
        "TRYAGAIN",
        "UNBLOCKED",
        "NOREPLICAS",
        "BUSY",  # with somebody's long script
        "MISCONF",  # its disk is full: refused before anything was written
        "MOVED",
        "ASK",
    }
)
"""Refusals that say nothing about the request: it is sent again."""


def error_code(error: ResponseError) -> str:
    """Return the first word of a refusal (NOSCRIPT …); redis-py takes known ones off."""
    return error.status_code or str(error).partition(" ")[0]


def is_transient(error: ResponseError) -> bool:
    """Whether a refusal says nothing about the request: it is sent again."""
    # a script that met a slot on the move: it had written nothing (touch in includes/partition.lua)
    return error_code(error) in TRANSIENT or "non local key" in str(error)


def failed_inside(error: ResponseError) -> bool:
    """Whether a script failed by itself: over a key of a wrong type, a history that is corrupt."""
    return error_code(error) in {"ERR", "WRONGTYPE"} and "user_script" in str(error)
