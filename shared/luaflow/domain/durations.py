"""Durations as Go writes them ("1h30m", "1.5s"), and as option tables take them."""

from __future__ import annotations

import math
import re
from typing import Final

from luaflow.domain.failure import Invalid

UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
MAX_NS: Final = 2**63 - 1

_PART = re.compile(r"(\d*)(?:\.(\d*))?([^\d.\s]+)", re.ASCII)
_HOW = 'write a number with a unit, such as "90s", "1h30m" or "250ms"'


def parse_go(text: str) -> int:
    """Nanoseconds of a Go duration string; a negative one is negative.

    Raises Invalid for anything Go's `time.ParseDuration` refuses.
    """
    sign, rest = 1, text
    if rest[:1] in ("+", "-"):
        sign = -1 if rest[0] == "-" else 1
        rest = rest[1:]
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            raise _invalid(text)
        total += _part_ns(part, text)
        at = part.end()
    if at == 0 or total > MAX_NS:
        raise _invalid(text)
    return sign * total


def _part_ns(part: re.Match[str], text: str) -> int:
    whole, fraction, unit = part.group(1), part.group(2) or "", part.group(3)
    scale = UNITS.get(unit)
    if scale is None or not (whole or fraction) or len(whole) + len(fraction) > 40:
        raise _invalid(text)
    # Integers only: a float would lose nanoseconds beyond 2^53.
    tenths: int = 10 ** len(fraction)
    return int(whole or "0") * scale + int(fraction or "0") * scale // tenths


def _invalid(text: str) -> Invalid:
    return Invalid(f'invalid duration "{text[:60]}": {_HOW}')


def duration_ms(value: object, key: str) -> int:
    """Milliseconds of an option: a Go string, or a number that already is milliseconds.

    A part of a millisecond rounds up, so that a timeout never comes early. Raises Invalid
    naming `key` for other types, negative values and what does not fit 64 bits of nanoseconds.
    """
    if isinstance(value, str):
        try:
            nanoseconds = parse_go(value)
        except Invalid as error:
            raise Invalid(f"{key} must be a duration: {error}") from None
        result = -(-nanoseconds // 1_000_000)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise Invalid(f"{key} must be a finite number of milliseconds, got {value}")
        result = math.ceil(value)
    else:
        raise Invalid(
            f"{key} must be a duration: {_HOW}, or a number of milliseconds; got {_type(value)}"
        )
    if result < 0:
        raise Invalid(f"{key} must not be negative, got {value}")
    if result > MAX_NS // 1_000_000:
        raise Invalid(f"{key} must be below 292 years, got {value}")
    return result


def _type(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def format_go(ns: int) -> str:
    """The text Go prints for a duration: "1h30m0s", "1.5s", "250ms", "0s"."""
    if ns == 0:
        return "0s"
    sign, left = ("-", -ns) if ns < 0 else ("", ns)
    if left < 1_000_000_000:
        unit = next(u for u in ("ms", "\u00b5s", "ns") if left >= UNITS[u])
        return f"{sign}{_decimal(left, UNITS[unit])}{unit}"
    minutes, below = divmod(left, UNITS["m"])
    text = f"{_decimal(below, UNITS['s'])}s"
    hours, minutes = divmod(minutes, 60)
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def _decimal(value: int, scale: int) -> str:
    whole, rest = divmod(value, scale)
    if not rest:
        return str(whole)
    digits = str(rest).zfill(len(str(scale)) - 1).rstrip("0")
    return f"{whole}.{digits}"
