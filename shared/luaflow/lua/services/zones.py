"""Time zones: the IANA data of the tzdata package, as the list of offsets that Lua reads."""

from __future__ import annotations

import importlib.resources
import struct
from functools import lru_cache
from typing import Any, Final

from luaflow.domain.failure import Failure

LONGEST: Final = 100
"""Characters of a name; those of the list have fewer than 40."""
_HEADER: Final = struct.Struct(">4sc15x6l")
_TYPE: Final = struct.Struct(">lbB")


def zone(name: bytes) -> Any:
    """When which offset holds in a zone: ``at`` (seconds since 1970) and ``kinds`` side by side.

    ``types`` are [offset, abbreviation] from number 1 on, the first one holds before all others;
    ``rule`` is the POSIX text of what holds after them. A Failure (NotFound) for no zone's name.
    """
    return _zone(name.decode(errors="replace"))


@lru_cache(maxsize=128)
def _zone(name: str) -> Any:
    raw = _read(name)
    if raw is None or raw[:4] != b"TZif":
        return Failure(
            "NotFound",
            f"time zone '{name[:LONGEST]}' is not known: use a name of the IANA list, such as "
            "'Europe/Berlin', or time.fixed_zone(name, offset_seconds)",
            retryable=False,
        )
    return _parse(raw)


def _read(name: str) -> bytes | None:
    if len(name) > LONGEST:
        return None
    parts = name.split("/")
    if not all(
        part
        and part.replace("_", "").replace("-", "").replace("+", "").isalnum()
        and part.isascii()
        for part in parts
    ):
        return None
    place = importlib.resources.files("tzdata").joinpath("zoneinfo", *parts)
    return place.read_bytes() if place.is_file() else None


def _parse(raw: bytes) -> dict[str, Any]:
    """Read the 64-bit part of a TZif file (RFC 8536)."""
    _, _, isut, isstd, leap, times, types, chars = _HEADER.unpack_from(raw)
    start = _HEADER.size + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    _, _, isut, isstd, leap, times, types, chars = _HEADER.unpack_from(raw, start)
    here = start + _HEADER.size
    at = struct.unpack_from(f">{times}q", raw, here)
    here += times * 8
    kinds = raw[here : here + times]
    here += times
    rows = [_TYPE.unpack_from(raw, here + i * _TYPE.size) for i in range(types)]
    here += types * _TYPE.size
    names = raw[here : here + chars]
    here += chars + leap * 12 + isstd + isut
    return {
        "at": list(at),
        "kinds": [kind + 1 for kind in kinds],
        "types": [[offset, _text(names, first)] for offset, _, first in rows],
        "rule": raw[here:].strip(b"\n").decode(),
    }


def _text(names: bytes, first: int) -> str:
    return names[first : names.index(b"\0", first)].decode()
