"""Looking for runs: the query language of list and count, and the order of the index.

A query is conditions joined by AND, such as ``ExecutionStatus = 'Running' AND amount > 100``.
What is no field of a run is a search attribute; texts stand in quotes, numbers and ``true`` and
``false`` do not. The index holds ``field 0x00 value 0x00 inverted start time 0x00 run id``, so that
a range of it lists the newest runs first: one condition with ``=`` is read from it, the others are
compared with what is read.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from luaflow.domain.attributes import field_of, value_of
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
    "runid": "run_id",
    "run_id": "run_id",
    "taskqueue": "task_queue",
    "task_queue": "task_queue",
    "starttime": "start_time",
    "start_time": "start_time",
    "closetime": "close_time",
    "close_time": "close_time",
    "workflowhealth": "health",
    "workflow_health": "health",
}
_INDEXED: Final = ("status", "type", "workflow_id")
_TIMES: Final = ("start_time", "close_time")
HEALTH: Final = "health"
STUCK: Final = "stuck"
HEALTHS: Final = ("ok", STUCK)
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(
    r"""\s*(?:(?P<field>[A-Za-z_]\w*)|`(?P<quoted>[^`]+)`)\s*(?P<op>[!<>=]+)\s*
    (?:'(?P<single>(?:[^']|'')*)'|"(?P<double>[^"]*)"|(?P<bare>[^\s'"`<>=!]+))\s*""",
    re.VERBOSE,
)
_AND = re.compile(r"AND\b", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\Z", re.ASCII)
_HOW = "write conditions such as ExecutionStatus = 'Running' AND amount > 100"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; ``attribute``: with a search attribute of that name, not a field."""

    field: str
    op: str
    value: str | bool | float
    attribute: bool = True

    def is_for(self, field: str, value: str) -> bool:
        """Whether it asks for this value of a field."""
        return (self.field, self.value) == (field, value) and self.op in ("=", "==")

    def holds(self, run: Mapping[str, Any]) -> bool:
        """Whether it holds of a run (fields, and ``attributes``); of a list, whether one does.

        A run that has no such value satisfies no comparison; nor do values of different kinds.
        """
        found = run["attributes"].get(self.field) if self.attribute else run.get(self.field)
        for one in found if isinstance(found, list) else [found]:
            if _alike(one, self.value) and _OPERATORS[self.op](one, self.value):
                return True
        return False


def _alike(a: object, b: object) -> bool:
    kinds = (isinstance(a, bool), isinstance(a, str), a is None)
    return kinds == (isinstance(b, bool), isinstance(b, str), False) and not isinstance(a, dict)


@dataclass(frozen=True, slots=True)
class Query:
    """What runs must be like; None asks for nothing, ``conditions`` come besides."""

    status: str | None = None
    type: str | None = None
    workflow_id: str | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """The (field, value) ranges of the index that together hold every run asked for."""
        for one in self.conditions:
            if one.attribute and one.op in ("=", "=="):
                return [(field_of(one.field), value_of(one.value))]
        if self.type is not None:
            return [("type", self.type)]
        if self.status is not None:
            return [("status", self.status)]
        if any(one.is_for(HEALTH, STUCK) for one in self.fields):
            return [("status", "running")]
        return [("status", status) for status in STATUSES]

    @property
    def fields(self) -> list[Condition]:
        """The conditions on fields of a run, not on search attributes."""
        return [one for one in self.conditions if not one.attribute]

    @property
    def asks_health(self) -> bool:
        """Whether it must be known of each run if it is stuck."""
        return any(one.field == HEALTH for one in self.fields)

    @property
    def exact(self) -> bool:
        """Whether the ranges hold no other runs: what is read need not be compared."""
        asked = (self.status is not None) + (self.type is not None)
        return not self.conditions and asked < 2

    def holds(self, run: Mapping[str, Any]) -> bool:
        """Whether a run is asked for."""
        return (
            self.status in (None, run["status"])
            and self.type in (None, run["type"])
            and all(one.holds(run) for one in self.conditions)
        )


def parse_query(text: str | None) -> Query:
    """Read a query; None and blank text ask for everything.

    Fields are ``ExecutionStatus``, ``WorkflowType``, ``WorkflowId`` (with ``=``), ``RunId``,
    ``TaskQueue``, ``StartTime`` and ``CloseTime`` (RFC 3339) and ``WorkflowHealth`` (ok or stuck),
    in this spelling or with underscores; any other name is a search attribute. Raises Invalid that
    says what cannot be read, and where.
    """
    whole = text or ""
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"the query is not UTF-8 text, at {error.start}") from None
    found: dict[str, str] = {}
    conditions: list[Condition] = []
    at = len(whole) - len(whole.lstrip())
    while at < len(whole.rstrip()):
        match = _CONDITION.match(whole, at)
        if match is None or match["op"] not in _OPERATORS:
            raise _unreadable(whole, at)
        field = None if match["quoted"] else _FIELDS.get(match["field"].lower())
        if field in _INDEXED:
            if match["op"] not in {"=", "=="}:
                raise Invalid(
                    f"the query asks for {match[0].strip()!r} at {at}: {match['field']} goes with ="
                )
            if field in found:
                raise Invalid(f"the query asks for {match['field']} twice, at {at}: keep one")
            value = str(_text_of(match))
            found[str(field)] = _status(value) if field == "status" else value
        else:
            conditions.append(_condition(match, field))
        at = match.end()
        if at < len(whole):
            joined = _AND.match(whole, at)
            if joined is None or not whole[joined.end() :].strip():
                raise _unreadable(whole, at)
            at = joined.end()
    return Query(**found, conditions=tuple(conditions))


def _unreadable(text: str, at: int) -> Invalid:
    return Invalid(f"the query {text!r} cannot be read at {at} ({text[at : at + 30]!r}): {_HOW}")


def _text_of(match: re.Match[str]) -> str:
    if match["bare"] is not None:
        return match["bare"]
    if match["double"] is not None:
        return match["double"]
    return match["single"].replace("''", "'")


def _condition(match: re.Match[str], field: str | None) -> Condition:
    text, op = _text_of(match), match["op"]
    if field in _TIMES:
        return Condition(field, op, _time(text), attribute=False)
    if field == HEALTH and text not in HEALTHS:
        raise Invalid(f"there is no health {text!r}: use one of {', '.join(HEALTHS)}")
    if field is not None:
        return Condition(field, op, text, attribute=False)
    value: str | bool | float = text
    if match["bare"] is not None and text.lower() in ("true", "false"):
        value = text.lower() == "true"
    elif match["bare"] is not None and _NUMBER.match(text):
        value = float(text) if re.search(r"[.eE]", text) else int(text)
    return Condition(match["quoted"] or match["field"], op, value)


def _time(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"the query compares a time with {text!r}: write it as 2026-01-31T12:00:00Z"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


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
