"""Values on their way into Lua, and the questions Lua asks that need no host.

Lua reads JSON text (tags of `luaflow.domain.values` resolved there), so that Python never
touches a Lua table.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, Final

import orjson

from luaflow.domain import values
from luaflow.domain.failure import Failure, Invalid
from luaflow.domain.options import parse_activity_options, parse_start_options
from luaflow.lua.services import PURE


def to_json(value: Any) -> bytes:
    """JSON text of a value for Lua.

    Bytes are JSON text already. Anything else is a JSON-shaped value as `orjson.loads` gives it
    (tags not resolved); bytes and Failures inside it are tagged.
    """
    if type(value) is bytes:
        return value
    return orjson.dumps(value, default=values.encode)


def _options(what: bytes, entry_id: bytes, text: bytes) -> tuple[Any, ...]:
    """None, or what is wrong with the options of an activity call or a child's start."""
    try:
        options = values.loads(text)
        name = entry_id.decode(errors="replace")
        if what == b"activity":
            parse_activity_options(name, options)
        else:
            parse_start_options(options, child=True)
    except Invalid as error:
        return (str(error),)
    return (None,)


def _named_uuid(version: bytes, namespace: bytes, name: bytes) -> tuple[Any, ...]:
    """A UUID computed from a namespace and a name, which may be any bytes."""
    number, digest = (3, hashlib.md5) if version == b"v3" else (5, hashlib.sha1)
    raw = digest(uuid.UUID(namespace.decode()).bytes + name, usedforsecurity=False).digest()
    return (str(uuid.UUID(bytes=raw[:16], version=number)),)


def _one(compute: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """A computation as a service: its value, or nothing and its Failure."""

    def answer(*args: Any) -> tuple[Any, ...]:
        value = compute(*args)
        return (None, values.encode(value)) if isinstance(value, Failure) else (value,)

    return answer


PURE_SERVICES: Final[dict[bytes, Callable[..., tuple[Any, ...]]]] = {
    b"options": _options,
    b"uuid": _named_uuid,
    **{name.encode(): _one(compute) for name, compute in PURE.items()},
}
"""Answered here: the same answer always, so nothing about them is recorded."""
