"""When a schedule is due: cron expressions, intervals and calendars in one time zone.

A spec is read from plain words, which are stored as they are; all is computed from them and from
the time alone, so that every scheduler finds the same times.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from luaflow.domain.calendars import Calendar, parse_calendar
from luaflow.domain.cron import LAST_MS, Cron, parse_cron
from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Invalid
from luaflow.domain.ids import closest

MOST: Final = 100
"""Cron expressions, intervals and calendars of one schedule, each."""
LEAST_EVERY_MS: Final = 1000
SPEC_KEYS: Final = ("cron", "interval", "calendar", "timezone", "start_at", "end_at", "jitter")
_TIMES: Final = ("cron", "interval", "calendar")
_ZONED = re.compile(r"(?:CRON_TZ|TZ)=")


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so many ms, counted from 1970 and ``offset_ms``."""

    every_ms: int
    offset_ms: int = 0

    def after(self, now: int) -> int:
        """The first time after ``now``."""
        return self.offset_ms + ((now - self.offset_ms) // self.every_ms + 1) * self.every_ms


@dataclass(frozen=True, slots=True)
class Spec:
    """When a schedule is due; times in ms since 1970, ``end_at`` None for no end."""

    crons: tuple[Cron, ...] = ()
    intervals: tuple[Interval, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    zone: tzinfo = UTC
    start_at: int = 0
    end_at: int | None = None
    jitter_ms: int = 0

    def after(self, now: int) -> int | None:
        """The first time after ``now``, without jitter; None when there is none."""
        now = max(now, self.start_at - 1)
        if not 0 <= now < LAST_MS:
            return None
        found = [cron.after(now, 0) for cron in self.crons]
        found += [interval.after(now) for interval in self.intervals]
        found += [calendar.after(now, self.zone) for calendar in self.calendars]
        first = min((ms for ms in found if ms is not None), default=None)
        if first is None or (self.end_at is not None and first > self.end_at):
            return None
        return first

    def due(self, name: str, at: int) -> int:
        """When a time is acted on: later by its jitter, which is that of the schedule's name.

        It never reaches the time after it, so that the order stays.
        """
        if not self.jitter_ms:
            return at
        following = self.after(at)
        room = self.jitter_ms if following is None else min(self.jitter_ms, following - at - 1)
        digest = hashlib.sha256(f"{name}\0{at}".encode()).digest()
        return at + int.from_bytes(digest[:8]) % (room + 1)


def parse_spec(words: Mapping[str, Any]) -> Spec:
    """Read a spec from its words (``SPEC_KEYS``); Invalid "<key> must be ..." for anything else."""
    for name in words:
        if name not in SPEC_KEYS:
            near = closest(name, SPEC_KEYS)
            raise Invalid(f"{name} is not known" + (f": did you mean {near}?" if near else ""))
    given = {key: _list(words.get(key), key) for key in _TIMES}
    if not any(given.values()):
        raise Invalid("cron, interval or calendar must be given: one of them says when")
    zone_name = words.get("timezone")
    start_at, end_at = (_moment(words.get(key), key) for key in ("start_at", "end_at"))
    if start_at is not None and end_at is not None and end_at < start_at:
        raise Invalid(f"end_at must not be before start_at, got {words['end_at']!r}")
    return Spec(
        crons=tuple(_cron(text, zone_name) for text in given["cron"]),
        intervals=tuple(_interval(one) for one in given["interval"]),
        calendars=tuple(_calendar(one) for one in given["calendar"]),
        zone=_zone(zone_name),
        start_at=start_at or 0,
        end_at=end_at,
        jitter_ms=duration_ms(words.get("jitter") or 0, "jitter"),
    )


def plain_words(words: Mapping[str, Any]) -> dict[str, Any]:
    """The words as JSON has them: moments as text, durations as ms, nothing that is absent."""
    return {key: _plain(value) for key, value in words.items() if value not in (None, [], ())}


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, datetime):
        at = value if value.tzinfo else value.replace(tzinfo=UTC)
        return at.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _list(value: Any, key: str) -> list[Any]:
    found = [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
    if len(found) > MOST:
        raise Invalid(f"{key} must be {MOST} at most, got {len(found)}")
    return found


def _zone(name: object) -> tzinfo:
    if name is None:
        return UTC
    try:
        return ZoneInfo(str(name))
    except (LookupError, ValueError, OSError):
        raise Invalid(
            f"timezone must name a time zone such as Europe/Berlin, not {name!r}"
        ) from None


def _cron(text: object, zone: object) -> Cron:
    if not isinstance(text, str):
        raise Invalid(f'cron must be text such as "0 9 * * 1-5", got {text!r}')
    if zone is not None and not _ZONED.match(text.strip()):
        _zone(zone)
        text = f"CRON_TZ={zone} {text}"
    return parse_cron(text, "cron")


def _interval(value: object) -> Interval:
    table = value if isinstance(value, Mapping) else {"every": value}
    for name in table:
        if name not in ("every", "offset"):
            raise Invalid(f"interval.{name} is not known: an interval has every and offset")
    every = duration_ms(table.get("every"), "interval.every")
    offset = duration_ms(table.get("offset") or 0, "interval.offset")
    if every < LEAST_EVERY_MS:
        raise Invalid(f"interval.every must be {LEAST_EVERY_MS} ms at least, got {every}")
    if offset >= every:
        raise Invalid(f"interval.offset must be less than interval.every, got {offset} ms")
    return Interval(every, offset)


def _calendar(value: object) -> Calendar:
    found = parse_calendar(value, "calendar")
    if not found.year and found.after(0, UTC) is None:
        raise Invalid(f"calendar must be due at some time: {value!r} never is")
    return found


def _moment(value: object, key: str) -> int | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(at, datetime):
            raise ValueError  # noqa: TRY004 - told together with texts that are none
    except ValueError:
        raise Invalid(f"{key} must be a time such as 2030-01-31T09:00:00Z, got {value!r}") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)
