"""How a server confirms a durability level: by WAIT, by WAITAOF, or by its answer alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.exceptions import ResponseError

_Word = str | bytes | int | float
FSYNC = ("CONFIG", "GET", "appendfsync")
"""What a server is asked at each connection, and once in a while."""
_WAITAOF_SINCE = (7, 2)


def knows_waitaof(server: Mapping[str, str]) -> bool:
    """Whether a server has WAITAOF, from its INFO; every Valkey calls itself Redis 7.2."""
    numbers = server.get("redis_version", "0").split("-")[0].split(".")
    version = tuple(int(n) for n in numbers if n.isdigit())
    return version >= _WAITAOF_SINCE


def syncs_always(answer: Any) -> bool:
    """Whether each answer of a server says that it is on disk, from its answer to ``FSYNC``."""
    return (
        not isinstance(answer, (ResponseError, BaseException))
        and len(answer or ()) == 2
        and bytes(answer[1]) == b"always"
    )


def command_on(wanted: tuple[_Word, ...], *, always: bool, waitaof: bool) -> tuple[_Word, ...]:
    """The command that confirms on this server what ``wanted`` asks for; none where none is needed.

    A WAITAOF costs a server that syncs each write for nothing. One that has no WAITAOF can confirm
    the disk by syncing each write alone, and says of replicas only that they have it.
    """
    if not wanted or wanted[0] != "WAITAOF":
        return wanted
    replicas, ms = wanted[2], wanted[3]
    if not always or (replicas and waitaof):
        return wanted
    return ("WAIT", replicas, ms) if replicas else ()
