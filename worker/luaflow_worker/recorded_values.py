"""Values that are recorded at the call, and the lines that workflow code logs."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable
from typing import Any

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.lua.services import RECORDED
from luaflow_worker.place import Place

log = logging.getLogger("luaflow.lua")


def write_log(place: Place, level: str, message: bytes, fields: bytes) -> None:
    """Pass a line that workflow code logs on to the log of this process."""
    extra = {**place.log_fields, "fields": fields.decode(errors="replace")}
    number = getattr(logging, level.upper(), logging.INFO)
    log.log(number, "%s", message.decode(errors="replace"), extra=extra)


def uuid7() -> str:
    """Return a version 7 UUID (RFC 9562): milliseconds, then random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=number))


_MAKERS: dict[str, Callable[..., Any]] = {
    "uuid": lambda: str(uuid.uuid4()),
    "uuid1": lambda: str(uuid.uuid1()),
    "uuid7": uuid7,
    **RECORDED,
}


def make_value(name: str, *args: Any) -> Any:
    """Return a fresh value of a kind that is recorded at the call; ``args`` are the code's."""
    value = _MAKERS[name](*args)
    return values.encode(value) if isinstance(value, (Failure, bytes)) else value
