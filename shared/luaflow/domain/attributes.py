"""Search attributes in the index of runs: values as text whose order is that of the values.

A member of the index is ``@name 0x00 value 0x00 inverted time 0x00 run id``. A text is ``s`` and
itself, a number ``n`` and its 64 bits, a boolean ``b0`` or ``b1``; a list of texts has a member
for each. What the index cuts off is compared in full when the run is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

MOST: Final = 100
"""Values of one run in the index; a script writes them all at once."""
LONGEST: Final = 200
"""Characters of a text in the index."""
_ESCAPES: Final = {0: "\2\x10", 1: "\2\x11", 2: "\2\x12"}
_SIGN: Final = 1 << 63


def field_of(name: str) -> str:
    """The field of the index that holds an attribute."""
    return "@" + name.translate(_ESCAPES)


def value_of(value: str | bool | float) -> str:
    """The text of a value in the index."""
    if isinstance(value, str):
        return "s" + value[:LONGEST].translate(_ESCAPES)
    if isinstance(value, bool):
        return f"b{value:d}"
    try:
        number = float(value) + 0.0  # minus zero is zero
    except OverflowError:
        number = float("inf") if value > 0 else float("-inf")
    (bits,) = struct.unpack(">Q", struct.pack(">d", number))
    return f"n{bits ^ _SIGN if not bits & _SIGN else bits ^ (2 * _SIGN - 1):016x}"


def indexed(attributes: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The places of a run's attributes in the index, as scripts take them, and their JSON."""
    if not attributes:
        return b"", b""
    found = dict.fromkeys(
        f"{field_of(name)}\0{value_of(value)}"
        for name, values in attributes.items()
        for value in _each(values)
    )
    return "\1".join(list(found)[:MOST]).encode(errors="replace"), orjson.dumps(dict(attributes))


def values_in(attributes: Mapping[str, Any]) -> int:
    """How many places attributes take in the index."""
    return sum(1 for values in attributes.values() for _ in _each(values))


def _each(value: object) -> Iterator[str | bool | float]:
    """The values that stand in the index; what is tagged (bytes, infinities) does not."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, (str, bool, int, float)):
            yield one
