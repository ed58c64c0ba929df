"""Cron expressions: when a run begins again; from values alone, so that a repeat finds the same.

Five fields (minute, hour, day of month, month, day of week), the words ``@hourly`` and its like, or
``@every 90s``; a time zone before them (``CRON_TZ=Europe/Berlin 0 9 * * 1-5``), UTC without. A time
that the clock skips in spring is made up for right after the gap; one it shows twice counts once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Invalid

_WORDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY: Final = "@every"
_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.*)\Z", re.DOTALL)
_HOW: Final = (
    'write five fields ("0 9 * * 1-5"), "@hourly", "@daily", "@weekly", "@monthly", "@yearly" or'
    ' "@every 90s", if need be with "CRON_TZ=Europe/Berlin " before them'
)
LEAST_MS: Final = 1000
"""The shortest interval of ``@every``; shorter ones are for a loop in the workflow."""
LAST_MS: Final = 253_370_764_800_000
"""The year 9999: nothing fires later."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule: an interval (``every_ms``), or five fields in a time zone."""

    fields: str
    zone: tzinfo = UTC
    every_ms: int = 0

    def after(self, now: int, anchor: int) -> int | None:
        """The first time after ``now`` (ms since 1970, UTC); None when there is none.

        ``anchor``: an interval is counted from there, so that runs that take long do not move it.
        """
        if self.every_ms:
            return anchor + ((now - anchor) // self.every_ms + 1) * self.every_ms
        if not 0 <= now < LAST_MS:
            return None
        at = datetime.fromtimestamp(now // 1000, UTC).astimezone(self.zone)
        try:
            # (of an hour that a clock shows twice an earlier time may be found first)
            return next(ms for one in CronSim(self.fields, at) if (ms := _ms(one)) > now)
        except (StopIteration, OverflowError, ValueError):  # beyond what a calendar can say
            return None


def _ms(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp()) * 1000


@lru_cache(maxsize=1024)
def parse_cron(text: str, key: str = "cron_schedule") -> Cron:
    """Read an expression; Invalid "<key> must be ..." for anything else."""
    zone, rest = _zone(text.strip(), key)
    word, _, interval = rest.partition(" ")
    if word.lower() == _EVERY:
        return Cron("", zone, _every(interval.strip(), text, key))
    fields = _WORDS.get(rest.lower(), rest)
    if len(fields.split()) != 5:  # six would be seconds, which cron does not have
        raise Invalid(f"{key} must be a cron expression, got {text!r}: {_HOW}")
    try:
        next(CronSim(fields, datetime(2024, 1, 1, tzinfo=UTC)))
    except StopIteration:
        raise Invalid(
            f"{key} must be a cron expression that is due at some time: {text!r} never is"
        ) from None
    except (CronSimError, ValueError, OverflowError) as error:
        raise Invalid(f"{key} must be a cron expression, got {text!r} ({error}): {_HOW}") from None
    return Cron(fields, zone)


def _zone(text: str, key: str) -> tuple[tzinfo, str]:
    match = _ZONE.match(text)
    if match is None:
        return UTC, text
    try:
        return ZoneInfo(match[1]), match[2].strip()
    except (LookupError, ValueError, OSError):
        raise Invalid(
            f"{key} must name a time zone such as Europe/Berlin, not {match[1]!r}"
        ) from None


def _every(interval: str, text: str, key: str) -> int:
    try:
        every = duration_ms(interval, key)
    except Invalid:
        raise Invalid(f"{key} must be a cron expression, got {text!r}: {_HOW}") from None
    if every < LEAST_MS:
        raise Invalid(f"{key} must be @every with at least {LEAST_MS} ms, got {text!r}")
    return every
