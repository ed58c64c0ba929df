"""Sealed payloads: values that are compressed, encrypted or stored elsewhere, as JSON has them.

A sealed value is ``{"$lf":"sealed","v":{"c":codec,"k":key id,"n":nonce,"d":data}}``; data and nonce
are base64. In place of ``d`` stand ``at``, ``size`` and ``sha256`` where the bytes are in an object
store. ``o`` names the schedule a start was sealed for. A failure keeps its kind and whether it is
retryable: ``{"kind":…,"message":…,"retryable":…,"sealed":{…}}``. ``e``, which is never stored, says
why this process could not open one. Only text is looked at here: bytes around a payload, and those
of the payload itself, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecoder
from typing import Any, Final, NamedTuple

import orjson

from luaflow.errors import LuaflowError

MARK: Final = b'"$lf":"sealed"'
"""What every sealed value has, and no other text: a quote inside of JSON text is escaped."""
VALUE: Final = "v"
FAILURE: Final = "f"
_HEAD: Final = '{"$lf":"sealed","v":'
_TEXT = r'"(?:[^"\\]|\\.)*"'
_TAG = r'\{"\$lf":"sealed","v":(\{[^{}]*\})\}'
_FAILED = rf'\{{"kind":{_TEXT},"message":{_TEXT},"retryable":(?:true|false|null),"sealed":{_TAG}\}}'
FOUND: Final = re.compile(rf"(?P<failure>{_FAILED})|{_TAG}")
"""A sealed failure or value; its last group that took part is the object ``v``."""
_SCAN = JSONDecoder().raw_decode
_SPACE = " \t\r\n"
_ITEMS = frozenset({"input"})
_VALUES = frozenset({"result", "value"})
_FAILURES = frozenset({"failure", "continued_failure"})
_TABLES = frozenset({"memo", "context", "workflow.memo", "temporal.memo"})
_INSIDE = frozenset({"body", "started", "letter", "options"})


class SealedPayload(LuaflowError):
    """A payload cannot be opened here: its key is missing, or its bytes are not what was sealed."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value that this process has no key for; it can be passed on, not looked into."""

    shape: dict[str, Any]

    def __str__(self) -> str:
        """Why it could not be opened."""
        return str(self.shape.get("e") or words(self.shape))


class Span(NamedTuple):
    """Where a payload stands in a text, and what it is (VALUE or FAILURE)."""

    start: int
    end: int
    kind: str


def is_tag(tree: Any) -> bool:
    """Whether a tree of JSON is a sealed value."""
    return isinstance(tree, dict) and tree.get("$lf") == "sealed"


def clear(value: Any) -> Any:
    """A value that is to be told to somebody; raises SealedPayload where it is still sealed."""
    if isinstance(value, Sealed):
        raise SealedPayload(str(value))
    return value


def words(shape: dict[str, Any]) -> str:
    """What to do about a sealed value that was not even tried."""
    key = f"the key {shape['k']!r}" if shape.get("k") else f"the codec {shape.get('c')!r}"
    return f"a payload is sealed with {key}: give this process its keys (LUAFLOW_CODEC_KEYS)"


def check_open(raw: bytes) -> None:
    """Raise SealedPayload for JSON in which something is still sealed."""
    if MARK in raw:
        found = FOUND.search(raw.decode(errors="replace"))
        raise SealedPayload(str(Sealed(shape_of(found) if found else {})))


def body_of(found: re.Match[str]) -> str:
    """The object ``v`` of what FOUND found."""
    return str(found[2] or found[3])


def shape_of(found: re.Match[str]) -> dict[str, Any]:
    """The object ``v`` of what FOUND found, read; empty when it was changed and is none."""
    try:
        shape: dict[str, Any] = orjson.loads(body_of(found))
    except ValueError:
        return {}
    return shape


def tag(shape: dict[str, Any]) -> str:
    """The text of a sealed value."""
    return f"{_HEAD}{orjson.dumps(shape).decode()}}}"


def failure_tag(failure: str, sealed: str) -> str:
    """The text of a sealed failure: what retry policies and statistics go by stays readable."""
    given = orjson.loads(failure)
    kind, retryable = str(given.get("kind") or ""), given.get("retryable")
    retryable = retryable if isinstance(retryable, bool) else None
    note = orjson.dumps("sealed: it is read where the keys are").decode()
    return (
        f'{{"kind":{orjson.dumps(kind).decode()},"message":{note},'
        f'"retryable":{orjson.dumps(retryable).decode()},"sealed":{sealed}}}'
    )


def is_sealed(text: str) -> bool:
    """Whether a value, or a failure, is sealed as a whole."""
    return FOUND.fullmatch(text) is not None


def payloads(text: str) -> Iterator[Span]:
    """The payloads of a document: an event's body, a message, a letter, a job, a schedule's plan.

    Those that are sealed already are left out.
    """
    for span in _document(text, 0):
        if not is_sealed(text[span.start : span.end]):
            yield span


def table(text: str) -> Iterator[Span]:
    """The payloads of a table by itself (a memo): its values."""
    for span in _table(text, 0, len(text)):
        if not is_sealed(text[span.start : span.end]):
            yield span


def messages_in(text: str) -> tuple[str, str]:
    """For whom a message of an outbox is: its kind (``k``, '' for no message), and the id."""
    if not text.startswith('{"k":'):
        return "", ""
    kind, target = "", ""
    for key, start, end in _members(text, 0):
        if key == "k":
            kind = str(orjson.loads(text[start:end]))
        elif key == "workflow_id":
            target = str(orjson.loads(text[start:end]))
    return kind, target


def _document(text: str, at: int) -> Iterator[Span]:
    for key, start, end in _members(text, at):
        first = text[start]
        if key in _ITEMS and first == "[":
            yield from (Span(a, b, VALUE) for a, b in _entries(text, start))
        elif key in _VALUES:
            yield Span(start, end, VALUE)
        elif key in _FAILURES and first == "{":
            yield Span(start, end, FAILURE)
        elif key in _TABLES and first == "{":
            yield from _table(text, start, end)
        elif key in _INSIDE and first == "{":
            yield from _document(text, start)
        elif key == "messages" and first == "[":
            for a, _ in _entries(text, start):
                for b, _ in list(_entries(text, a))[1:]:
                    yield from _document(text, b)


def _table(text: str, start: int, end: int) -> Iterator[Span]:
    if text.startswith('{"$lf":', start):
        yield Span(start, end, VALUE)
        return
    yield from (Span(a, b, VALUE) for _, a, b in _members(text, start))


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """The members of the object at a place: key, and where its value begins and ends."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _SCAN(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = _SCAN(text, start)
        yield key, start, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _entries(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Where the items of the array at a place begin and end."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _SCAN(text, at)
        yield at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
