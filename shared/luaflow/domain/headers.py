"""Trace contexts as they are stored: W3C headers, a plain object in events, tasks and messages.

Whoever traces can read them (``traceparent``, ``tracestate``); code of workflows never sees them.
``since`` is ours: since when the trace goes on (namespace time, ms), where that is not the time of
the event it stands in; '0' where what begins is to link to it, and not to be a part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

Headers = dict[str, str]

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
SINCE: Final = "since"
STATE_BYTES: Final = 512
"""A longer ``tracestate`` is left out, as W3C allows."""

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read_headers(found: object) -> Headers | None:
    """The headers in what was stored or sent; None where there is no trace, or a broken one."""
    if not isinstance(found, Mapping):
        return None
    parent = found.get(PARENT)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        return None
    headers = {PARENT: parent}
    state, since = found.get(STATE), found.get(SINCE)
    if isinstance(state, str) and 0 < len(state) <= STATE_BYTES and state.isascii():
        headers[STATE] = state
    if isinstance(since, str) and since.isdecimal() and len(since) < 16:
        headers[SINCE] = since
    return headers


def trace_id_of(headers: Mapping[str, str] | None) -> str:
    """The id of the trace, '' without one."""
    return headers[PARENT][3:35] if headers else ""


def linked(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers for what begins later, and in a trace of its own that links to this one."""
    return {**headers, SINCE: "0"}
