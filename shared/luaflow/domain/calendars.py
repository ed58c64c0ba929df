"""Calendar specs: the times whose fields match, each field a set of numbers.

A field is ``*``, a number, a name (``MON``, ``jan``), a range with or without a step (``1-5``,
``0-30/10``, ``*/15``), several of these with commas or as a list, or ``{start, end, step}``. A time
that the clock skips in spring is made up for right after the gap; one it shows twice counts once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from luaflow.domain.failure import Invalid

YEARS: Final = 60
"""How far the search for the next date goes: 29 February on a given weekday is 40 years off."""
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_NAMES: Final = {
    "day_of_week": {name: n for n, name in enumerate(_DAYS)},
    "month": {name: n for n, name in enumerate(_MONTHS, 1)},
}
FIELDS: Final = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_month": (1, 31),
    "month": (1, 12),
    "day_of_week": (0, 7),
    "year": (1970, 9998),
}
"""The fields and their bounds; 7 is a Sunday, too."""
_NONE_IS_ALL: Final = ("day_of_month", "month", "day_of_week", "year")
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar: sorted numbers of each field; ``year`` is empty for all."""

    second: tuple[int, ...]
    minute: tuple[int, ...]
    hour: tuple[int, ...]
    day_of_month: frozenset[int]
    month: tuple[int, ...]
    day_of_week: frozenset[int]
    year: frozenset[int]

    def after(self, now: int, zone: tzinfo) -> int | None:
        """The first time after ``now`` (ms since 1970, UTC); None when there is none soon."""
        local = datetime.fromtimestamp(now // 1000, UTC).astimezone(zone).replace(tzinfo=None)
        for at in self._matches(local):
            ms = _instant(at, zone)
            if ms > now:
                return ms
        return None

    def _matches(self, start: datetime) -> Iterator[datetime]:
        """The times on the wall from ``start`` on, in order."""
        for day in self._days(start.date()):
            first = day == start.date()
            for hour in self.hour[bisect_left(self.hour, start.hour) if first else 0 :]:
                same = first and hour == start.hour
                for minute in self.minute[bisect_left(self.minute, start.minute) if same else 0 :]:
                    exact = same and minute == start.minute
                    for second in self.second[
                        bisect_left(self.second, start.second) if exact else 0 :
                    ]:
                        yield datetime.combine(day, time(hour, minute, second))

    def _days(self, day: date) -> Iterator[date]:
        last = min(day.year + YEARS, FIELDS["year"][1])
        while day.year <= last:
            if self.year and day.year not in self.year:
                later = [year for year in self.year if year > day.year]
                if not later:
                    return
                day = date(min(later), 1, 1)
                last = max(last, min(day.year + YEARS, FIELDS["year"][1]))
            elif day.month not in self.month:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            else:
                if day.day in self.day_of_month and day.isoweekday() % 7 in self.day_of_week:
                    yield day
                day += timedelta(days=1)


def _instant(at: datetime, zone: tzinfo) -> int:
    """The moment of a time on the wall; the first of two, the end of the gap for one skipped."""
    early, late = (at.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early.astimezone(zone).replace(tzinfo=None) == at:
        return int(early.timestamp()) * 1000
    # it is in a gap: the clock jumps somewhere between what its two readings stand for
    low, high = int(late.timestamp()), int(early.timestamp())
    before = datetime.fromtimestamp(low, UTC).astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high * 1000


def parse_calendar(words: object, key: str) -> Calendar:
    """Read a calendar; Invalid "<key>.<field> must be ..." for what is none."""
    if not isinstance(words, Mapping) or not words:
        raise Invalid(f"{key} must be a table such as {{hour: 9, day_of_week: MON-FRI}}")
    for name in words:
        if name not in FIELDS:
            known = ", ".join(FIELDS)
            raise Invalid(f"{key}.{name} is not known: the fields of a calendar are {known}")
    found = {name: _field(name, words.get(name), f"{key}.{name}") for name in FIELDS}
    days = {day % 7 for day in found["day_of_week"]}
    years = found["year"] if words.get("year") not in (None, "*") else []
    return Calendar(
        second=tuple(found["second"]),
        minute=tuple(found["minute"]),
        hour=tuple(found["hour"]),
        day_of_month=frozenset(found["day_of_month"]),
        month=tuple(found["month"]),
        day_of_week=frozenset(days),
        year=frozenset(years),
    )


def _field(name: str, value: object, key: str) -> list[int]:
    if value is None:
        value = "*" if name in _NONE_IS_ALL else 0
    found: set[int] = set()
    for part in value if isinstance(value, list) else [value]:
        found |= _range(name, part, key)
    if not found:
        raise Invalid(f"{key} must not be empty: write * for all")
    return sorted(found)


def _range(name: str, part: object, key: str) -> set[int]:
    if isinstance(part, Mapping):
        return _spread(name, part.get("start", 0), part.get("end"), part.get("step", 1), key)
    if isinstance(part, int) and not isinstance(part, bool):
        return _spread(name, part, None, 1, key)
    if not isinstance(part, str):
        raise _invalid(name, part, key)
    found: set[int] = set()
    for text in part.split(","):
        match = _PART.match(text.strip())
        if match is None:
            raise _invalid(name, part, key)
        all_, start, end, step = match.groups()
        least, most = FIELDS[name]
        if all_:
            found |= _spread(name, least, most, int(step or 1), key)
        else:
            first = _number(name, start, key)
            # (7/1 is from 7 on, as in cron)
            last = _number(name, end, key) if end else most if step else first
            found |= _spread(name, first, last, int(step or 1), key)
    return found


def _number(name: str, text: str, key: str) -> int:
    if text.isdecimal():
        return int(text)
    found = _NAMES.get(name, {}).get(text.lower()[:3])
    if found is None:
        raise _invalid(name, text, key)
    return found


def _spread(name: str, start: Any, end: Any, step: Any, key: str) -> set[int]:
    end = start if end is None else end
    least, most = FIELDS[name]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (start, end, step))
    if not whole or not least <= start <= end <= most or step < 1:
        shown = f"{start}-{end}" if end != start else start
        raise _invalid(name, shown if step == 1 else f"{shown}/{step}", key)
    return set(range(start, end + 1, step))


def _invalid(name: str, value: object, key: str) -> Invalid:
    least, most = FIELDS[name]
    return Invalid(
        f'{key} must be numbers from {least} to {most}, got {value!r}: write 5, "1-5", "*/10",'
        ' "1,3" or [1, 3]'
    )
