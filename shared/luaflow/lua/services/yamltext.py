"""YAML text and back: plain data only, in a bounded number of nodes."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import yaml

from luaflow.domain import values
from luaflow.domain.failure import Failure, Invalid

MAX_BYTES: Final = 256 * 1024
MAX_NODES: Final = 10_000
MAX_DEPTH: Final = 64

_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_TAG: Final = "tag:yaml.org,2002:"
_QUOTES: Final = frozenset("'\"|>")
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9_]*)\Z", re.ASCII)
_OCTAL: Final = re.compile(r"[-+]?0[0-7]+\Z", re.ASCII)
_RADIX: Final = re.compile(r"[-+]?0[xob][0-9a-fA-F_]+\Z", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?\Z", re.ASCII)
_OLD_WORDS: Final = re.compile(
    r"(y|yes|n|no|on|off|[-+]?\d[\d_]*(:\d\d?)+)\Z", re.IGNORECASE | re.ASCII
)
"""What readers of YAML 1.1 take for a truth value or a time."""
_BREAKS: Final = re.compile("[\x85\u2028\u2029\ufeff]")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


class _Refused(Exception):
    """A document that is not read; holds why."""


# Decoding -------------------------------------------------------------------------------------


def decode(text: bytes) -> Any:
    """The value of the first document; a Failure of kind Internal for what is no YAML.

    Scalars follow YAML 1.2: ``yes`` and dates are text. Aliases count as what they stand for.
    """
    if len(text) > MAX_BYTES:
        return Failure(
            "Invalid",
            f"yaml.decode: the text has {len(text)} bytes, the limit is {MAX_BYTES}",
            retryable=False,
        )
    try:
        whole, texts = _first_document(text)
        node = yaml.compose(whole, Loader=_LOADER)
        return None if node is None else values.encode(_Reader(texts).read(node, 0))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        where = f" in line {mark.line + 1}" if mark else ""
        return _broken(f"yaml.decode: {what}{where}")
    except (_Refused, Invalid, RecursionError, UnicodeDecodeError) as error:
        return _broken(f"yaml.decode: {error}")


def _first_document(text: bytes) -> tuple[str, set[int]]:
    """The text up to its second '---', checked for nesting and size before a tree is made of it.

    Beside it where the scalars stand that are text because of their tag ``!!str``.
    """
    whole, texts = text.decode(), set[int]()
    depth = nodes = documents = 0
    event: Any
    for event in yaml.parse(whole, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                return whole[: _index(event)], texts
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            if isinstance(event, yaml.ScalarEvent) and event.tag == f"{_TAG}str":
                texts.add(_index(event))
        if depth > MAX_DEPTH:
            raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise _Refused(f"more than {MAX_NODES} values")
    return whole, texts


def _index(place: Any) -> int:
    """Where an event or a node begins in the text."""
    return int(place.start_mark.index)


class _Reader:
    """Makes plain values of nodes and counts them, those behind aliases each time."""

    def __init__(self, texts: set[int]) -> None:
        self._texts = texts
        self._nodes = 0

    def read(self, node: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Refused(f"more than {MAX_NODES} values, those behind aliases counted")
        if depth > MAX_DEPTH:
            raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        return node.value if _index(node) in self._texts else _scalar(node)

    def _mapping(self, node: Any, depth: int) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.value == "<<" and key_node.style not in _QUOTES:
                found = self.read(value_node, depth + 1)
                for one in reversed(found if isinstance(found, list) else [found]):
                    if not isinstance(one, dict):
                        raise _Refused("'<<' merges mappings only")
                    merged.update(one)
                continue
            key = self.read(key_node, depth + 1)
            if key is None or isinstance(key, (list, dict)):
                raise _Refused("a key must be text or a number")
            if key in out:
                raise _Refused(f"the key {str(key)[:100]!r} stands twice")
            out[key] = self.read(value_node, depth + 1)
        return {**merged, **out}


def _scalar(node: Any) -> Any:
    return node.value if node.style in _QUOTES else _plain(node.value)


def _plain(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return _integer(text, 10)
    if _OCTAL.match(text):
        return _integer(text, 8)
    if _RADIX.match(text):
        return _integer(text, 0)
    return float(text) if _FLOAT.match(text) else text


def _integer(text: str, base: int) -> Any:
    try:
        number = int(text.replace("_", ""), base)
    except ValueError:
        return text
    if -(2**63) <= number < 2**63:
        return number
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


# Encoding -------------------------------------------------------------------------------------


def encode(data: bytes, order: bytes | None) -> str | Failure:
    """The YAML of a value (JSON of the boundary); ``order``: JSON list of the keys that go first.

    The other keys follow in the order of their bytes, which is that of ``pairs``.
    """
    if len(data) > MAX_BYTES:
        return Failure(
            "Invalid",
            f"yaml.encode: the value has {len(data)} bytes, the limit is {MAX_BYTES}",
            retryable=False,
        )
    first = {key: i for i, key in enumerate(values.loads(order) if order else ())}
    try:
        text: str = yaml.dump(
            _ordered(values.loads(data), first),
            Dumper=_Dumper,
            allow_unicode=True,
            default_flow_style=False,
            indent=4,
            sort_keys=False,
            width=1 << 30,
        )
    except (yaml.YAMLError, RecursionError, Invalid) as error:
        return _broken(f"yaml.encode: {error}")
    return text.removesuffix("...\n")


class _Dumper(yaml.SafeDumper):
    """Writes lists indented and nothing by reference."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: _Dumper, text: str) -> Any:
    """Quote what some reader would take for something else; lines are written as lines."""
    style = None
    if _BREAKS.search(text) or _plain(text) is not text or _OLD_WORDS.match(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _write_text)


def _ordered(value: Any, first: dict[Any, int]) -> Any:
    if isinstance(value, list):
        return [_ordered(item, first) for item in value]
    if isinstance(value, Failure):
        return value.message
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=lambda key: first.get(key, len(first)))
    return {key: _ordered(value[key], first) for key in keys}


def _broken(message: str) -> Failure:
    return Failure("Internal", message, retryable=False)
