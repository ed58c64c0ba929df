"""Looking for runs: the query language of list and count, and the order of the index.

A query is conditions joined by AND: ``ExecutionStatus = 'Running' AND WorkflowType = 'app:pay'``.
The index holds ``field 0x00 value 0x00 inverted start time 0x00 run id``, so that a range of it
lists the newest runs first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from luaflow.domain.events import STATUSES
from luaflow.domain.failure import Invalid

_FIELDS: Final = {
    "executionstatus": "status",
    "status": "status",
    "workflowtype": "type",
    "workflow_type": "type",
    "type": "type",
    "workflowid": "workflow_id",
    "workflow_id": "workflow_id",
}
_CONDITION = re.compile(
    r"""\s*(?P<field>[A-Za-z_]\w*)\s*(?P<op>[!<>=]+)\s*
    (?:'(?P<single>(?:[^']|'')*)'|"(?P<double>[^"]*)"|(?P<bare>[^\s'"]+))\s*""",
    re.VERBOSE,
)
_AND = re.compile(r"AND\b", re.IGNORECASE)
_HOW = "write conditions such as ExecutionStatus = 'Running' AND WorkflowType = 'app:pay'"


@dataclass(frozen=True, slots=True)
class Query:
    """What runs must be like; None asks for nothing."""

    status: str | None = None
    type: str | None = None
    workflow_id: str | None = None

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """The (field, value) ranges of the index that together hold every run asked for."""
        if self.type is not None:
            return [("type", self.type)]
        if self.status is not None:
            return [("status", self.status)]
        return [("status", status) for status in STATUSES]


def parse_query(text: str | None) -> Query:
    """Read a query; None and blank text ask for everything.

    Fields are ``ExecutionStatus``, ``WorkflowType`` and ``WorkflowId`` (``status``, ``type`` and
    ``workflow_id`` are the same). Raises Invalid that says what cannot be read.
    """
    found: dict[str, str] = {}
    rest = (text or "").strip()
    while rest:
        match = _CONDITION.match(rest)
        if match is None:
            raise Invalid(f"the query {text!r} cannot be read at {rest[:30]!r}: {_HOW}")
        field = _FIELDS.get(match["field"].lower())
        if field is None or match["op"] not in {"=", "=="}:
            raise Invalid(
                f"the query asks for {match[0].strip()!r}: ExecutionStatus, WorkflowType and"
                " WorkflowId can be asked for, with ="
            )
        if field in found:
            raise Invalid(f"the query asks for {match['field']} twice: keep one")
        value = match["bare"] or match["double"] or (match["single"] or "").replace("''", "'")
        found[field] = _status(value) if field == "status" else value
        rest = rest[match.end() :]
        if rest:
            joined = _AND.match(rest)
            if joined is None or not (rest := rest[joined.end() :].strip()):
                raise Invalid(f"the query {text!r} cannot be read at {rest[:30]!r}: {_HOW}")
    return Query(**found)


def _status(value: str) -> str:
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", value).lower()
    if word not in STATUSES:
        raise Invalid(f"there is no status {value!r}: use one of {', '.join(STATUSES)}")
    return word


def position(member: bytes) -> bytes:
    """The place of an index member in the order of all runs: inverted start time, run id."""
    return member.split(b"\0", 2)[2]


def run_of(place: bytes) -> str:
    """The run id of a position."""
    return place.partition(b"\0")[2].decode()


def bounds(field: str, value: str, after: bytes = b"") -> tuple[bytes, bytes]:
    """The lexicographic range of a value, from just after a position on."""
    head = f"{field}\0{value}".encode()
    low = b"(" + head + b"\0" + after if after else b"[" + head + b"\0"
    return low, b"(" + head + b"\x01"


def page_token(place: bytes) -> str:
    """The text that names a position in ``next_page``."""
    return place.replace(b"\0", b"-").decode()


def parse_page(token: str) -> bytes:
    """The position that a ``next_page`` names; Invalid for anything else."""
    time, dash, run = token.partition("-")
    if not dash or not re.fullmatch(r"[0-9a-f]{12}", time) or not run or "\0" in run:
        raise Invalid(f"{token!r} is no page: give what next_page of the page before said")
    return f"{time}\0{run}".encode()
