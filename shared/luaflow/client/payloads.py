"""What a client sends: bodies of events as JSON bytes, checked before anything leaves."""

from __future__ import annotations

import getpass
import logging
import os
import socket
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson

from luaflow.domain import values
from luaflow.domain.headers import Headers
from luaflow.errors import Refused
from luaflow.store.namespaces import Settings

log = logging.getLogger(__name__)

Message = Sequence[Any]
"""A startup message: its name, then its payloads."""


@cache
def identity() -> str:
    """Who this client is, for histories: user@host and the process id."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}:{os.getpid()}"


def dump(body: dict[str, Any]) -> bytes:
    """The bytes of an event body; its values are encoded already."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def check_size(body: bytes, settings: Settings, what: str) -> bytes:
    """Return the body; Refused when it is over the namespace's limit, a warning when near it."""
    size, limit = len(body), settings.largest_bytes
    if size > limit:
        raise Refused(
            f"{what} has {size} bytes, the namespace allows {limit}: store the data elsewhere and"
            " pass its address, or raise the limit with 'luaflow namespace update'"
        )
    if size > settings.payload_warn_bytes:
        log.warning(
            "%s has %d bytes, more than %d: histories grow heavy",
            what,
            size,
            settings.payload_warn_bytes,
        )
    return body


def signal_body(
    name: str,
    payloads: Iterable[Any],
    settings: Settings,
    sender: str | None = None,
    headers: Headers | None = None,
) -> bytes:
    """The body of WorkflowExecutionSignaled. Raises Invalid for values that cannot be stored."""
    body: dict[str, Any] = {
        "name": values.encode(name),
        "input": [values.encode(one) for one in payloads],
    }
    if sender:
        body["from"] = sender
    if headers:
        body["headers"] = headers
    return check_size(dump(body), settings, f"the signal {name!r}")


def signals(
    messages: Iterable[Message],
    settings: Settings,
    sender: str | None = None,
    headers: Headers | None = None,
) -> list[bytes]:
    """The bodies of startup messages; one without a name is left out (contract section 8)."""
    return [
        signal_body(str(name), rest, settings, sender, headers) for name, *rest in messages if name
    ]
