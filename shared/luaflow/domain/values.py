"""Values at every boundary as JSON bytes, with one tagging for what JSON cannot say.

Tags: `{"$lf":"bytes","v":base64}`, `{"$lf":"float","v":"nan"|"inf"|"-inf"}`,
`{"$lf":"map","v":[[key,value],...]}`, `{"$lf":"error","v":failure}`, and `{"$lf":"sealed","v":…}`
(`luaflow.domain.sealed`) for what was not opened.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from luaflow.domain.durations import format_go
from luaflow.domain.failure import Failure, Invalid
from luaflow.domain.sealed import Sealed

MAX_DEPTH: Final = 64
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_TAG: Final = "$lf"
_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dumps(value: Any) -> bytes:
    """The JSON bytes of a value: the same bytes for the same value on every machine.

    Takes None, bool, int (64 bit), float, str, bytes, list, tuple, dict, Failure; a datetime
    with a time zone becomes its RFC 3339 string, a timedelta its Go string. A dict whose keys
    are 1..n becomes a list and fields that are None are absent, as in Lua.
    Raises Invalid naming the place and the remedy.
    """
    return orjson.dumps(encode(value), option=orjson.OPT_SORT_KEYS)


def loads(data: bytes | str) -> Any:
    """The value of JSON bytes: Failure for errors, bytes where a string is not UTF-8.

    Raises Invalid for bad JSON, an unknown tag, integers beyond 64 bits, too deep a value.
    """
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"not JSON: {error}") from None
    decoder = _Decoder()
    value = decoder.decode(tree, 0)
    if decoder.large_float:
        _refuse_large_integers(data)
    return value


def encode(value: Any) -> Any:
    """The tagged JSON tree of a value, for embedding in a larger document.

    Serialise it with sorted keys to get the bytes of `dumps`. Raises Invalid as `dumps` does.
    """
    try:
        return _encode(value, 0)
    except _At as at:
        raise at.invalid() from None


def decode(tree: Any) -> Any:
    """The value of a tagged JSON tree: what `encode` made. Raises Invalid as `loads` does."""
    return _Decoder().decode(tree, 0)


class _At(Exception):
    """A refusal on its way out, collecting where in the value it happened."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def inside(self, step: str) -> _At:
        self.path = step + self.path
        return self

    def invalid(self) -> Invalid:
        where = f"value at {self.path[:200]}: " if self.path else "value: "
        return Invalid(where + self.problem)


def _encode(value: Any, depth: int) -> Any:
    if value is None or value is True or value is False:
        return value
    if type(value) is str and value.isascii():
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_TAG: "float", "v": str(float(value))}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {_TAG: "bytes", "v": base64.b64encode(value).decode("ascii")}
    if depth >= MAX_DEPTH:
        raise _At(f"nested deeper than {MAX_DEPTH} levels: flatten it, or store it elsewhere")
    if isinstance(value, dict):
        return _encode_dict(value, depth)
    if isinstance(value, (list, tuple)):
        return _encode_list(value, depth)
    if isinstance(value, Failure):
        return _encode_failure(value, depth)
    if isinstance(value, Sealed):
        return {_TAG: "sealed", "v": value.shape}
    return _encode_time(value)


def _text(value: str) -> str:
    if value.isascii():
        return str.__str__(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _At("text with a lone surrogate cannot be stored: pass bytes instead") from None
    return str.__str__(value)


def _integer(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise _At(f"integer {str(value)[:40]} does not fit 64 bits: pass it as a string")
    return int(value)


def _encode_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    out: list[Any] = []
    try:
        # Grows item by item, so that its length is the place where one is refused.
        for item in value:
            out.append(_encode(item, depth + 1))  # noqa: PERF401
    except _At as at:
        raise at.inside(f"[{len(out)}]") from None
    return out


def _encode_dict(value: dict[Any, Any], depth: int) -> Any:
    out: dict[Any, Any] = {}
    plain = True
    key: Any = None
    try:
        for key, item in value.items():
            if type(key) is not str:
                plain = False
                key = _lua_key(key)  # noqa: PLW2901
            elif key == _TAG:
                plain = False
            elif not key.isascii():
                _text(key)
            if item is not None:
                out[key] = _encode(item, depth + 1)
    except _At as at:
        raise at.inside(f".{key}" if isinstance(key, str) else f"[{key!r}]") from None
    if plain or not out:
        return out
    if all(type(key) is int for key in out) and set(out) == set(range(1, len(out) + 1)):
        return [out[index] for index in range(1, len(out) + 1)]
    return {_TAG: "map", "v": _pairs(out)}


def _lua_key(key: Any) -> Any:
    """The key as Lua has it: a whole float is its integer, every string is bytes."""
    if isinstance(key, str):
        return _text(key)
    if key is None or (isinstance(key, float) and math.isnan(key)):
        raise _At(f"a key cannot be {key}: Lua tables have no such key")
    if isinstance(key, float) and key.is_integer() and INT_MIN <= key <= INT_MAX:
        return int(key)
    if isinstance(key, (bool, float, bytes)):
        return key
    if isinstance(key, int):
        return _integer(key)
    raise _At(f"a key cannot be {type(key).__name__}: use text or a number")


def _pairs(table: dict[Any, Any]) -> list[list[Any]]:
    pairs = [
        [_encode(key, 0), item] for key, item in sorted(table.items(), key=lambda p: _rank(p[0]))
    ]
    ranks = {_rank(key) for key in table}
    if len(ranks) != len(pairs):
        raise _At("two keys are the same string in Lua (text and bytes): rename one")
    return pairs


def _rank(key: Any) -> tuple[int, Any]:
    """The order of `pairs` in the sandbox: numbers, strings by bytes, false, true."""
    if isinstance(key, bool):
        return (2, key)
    if isinstance(key, (int, float)):
        return (0, key)
    return (1, key.encode() if isinstance(key, str) else key)


def _encode_failure(value: Failure, depth: int) -> dict[str, Any]:
    try:
        body = {name: _encode(item, depth + 1) for name, item in value.to_json().items()}
    except _At as at:
        raise at.inside(".details") from None
    return {_TAG: "error", "v": body}


def _encode_time(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _At("a datetime needs a time zone: use datetime.now(timezone.utc)")
        text = value.isoformat()
        return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
    if isinstance(value, timedelta):
        microseconds = (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds
        return format_go(microseconds * 1000)
    raise _At(
        f"{type(value).__module__}.{type(value).__qualname__} cannot be stored:"
        " use None, bool, int, float, str, bytes, list, dict or Failure"
    )


class _Decoder:
    """One reading; remembers whether a float may stand for an integer too large for JSON."""

    def __init__(self) -> None:
        self.large_float = False

    def decode(self, tree: Any, depth: int) -> Any:
        kind = type(tree)
        if kind is str or tree is None or kind is bool:
            return tree
        if kind is int:
            if not INT_MIN <= tree <= INT_MAX:
                raise _large_integer(tree)
            return tree
        if kind is float:
            # The parser turns integers beyond 64 bits into floats without a word.
            if not -9e18 < tree < 9e18:
                self.large_float = True
            return tree
        if depth >= MAX_DEPTH:
            raise Invalid(f"value nested deeper than {MAX_DEPTH} levels")
        if kind is list:
            return [self.decode(item, depth + 1) for item in tree]
        if _TAG in tree:
            return self._tagged(tree, depth)
        return {key: self.decode(item, depth + 1) for key, item in tree.items()}

    def _tagged(self, tree: dict[str, Any], depth: int) -> Any:
        tag, body = tree[_TAG], tree.get("v")
        if len(tree) == 2:
            if tag == "bytes" and isinstance(body, str):
                return _bytes(body)
            if tag == "float" and isinstance(body, str) and body in _FLOATS:
                return _FLOATS[body]
            if tag == "map" and isinstance(body, list):
                return self._map(body, depth)
            if tag == "error" and isinstance(body, dict):
                return Failure.from_json(
                    {key: self.decode(item, depth + 1) for key, item in body.items()}
                )
            if tag == "sealed" and isinstance(body, dict):
                return Sealed(body)
        raise Invalid(
            f"unknown tag {json.dumps(tree)[:80]}: written by a newer release, or by hand"
        )

    def _map(self, body: list[Any], depth: int) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for pair in body:
            if not isinstance(pair, list) or len(pair) != 2:
                raise Invalid("a map tag holds [key, value] pairs")
            key = self.decode(pair[0], depth + 1)
            if not isinstance(key, (str, bytes, int, float)):
                raise Invalid(f"a map key cannot be {type(key).__name__}")
            if key in out:
                raise Invalid(f"Python cannot hold both keys equal to {key!r} in one dict")
            out[key] = self.decode(pair[1], depth + 1)
        return out


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("a bytes tag holds base64") from None


def _large_integer(value: Any) -> Invalid:
    return Invalid(f"integer {str(value)[:40]} does not fit 64 bits: send it as a string")


def _refuse_large_integers(data: bytes | str) -> None:
    def check(text: str) -> int:
        if len(text) > 20 or not INT_MIN <= int(text) <= INT_MAX:
            raise _large_integer(text)
        return 0

    json.loads(data, parse_int=check)
