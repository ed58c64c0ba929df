"""Cron expressions: what is refused, and when each is due, whatever the clock of its zone does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from luaflow.domain.cron import parse_cron
from luaflow.domain.failure import Invalid


def ms(text: str) -> int:
    """A time in UTC as milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def after(expression: str, now: str, times: int = 1) -> list[str]:
    """The next times an expression is due."""
    cron, at, found = parse_cron(expression), ms(now), []
    for _ in range(times):
        due = cron.after(at, 0)
        assert due is not None
        assert due > at
        at = due
        found.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("expression", "now", "due"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("*/15 9-17 * * 1-5", "2026-01-02T17:45:00", "2026-01-05T09:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 1 JAN *", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("@hourly", "2026-01-01T00:59:59", "2026-01-01T01:00:00"),
        ("@Daily", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("@monthly", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("@yearly", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("TZ=Asia/Kolkata 0 9 * * *", "2026-01-01T00:00:00", "2026-01-01T03:30:00"),
        ("CRON_TZ=America/New_York @daily", "2026-07-01T00:00:00", "2026-07-01T04:00:00"),
    ],
)
def test_when_it_is_due(expression: str, now: str, due: str) -> None:
    """Always later than now, in UTC or in the zone it names."""
    assert after(expression, now) == [due]


def test_a_time_the_clock_skips_is_made_up_for() -> None:
    """On the last Sunday of March there is no 02:30 in Berlin: it is due when the gap ends."""
    found = after("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T00:00:00", 3)
    assert found == ["2026-03-28T01:30:00", "2026-03-29T01:00:00", "2026-03-30T00:30:00"]


def test_a_time_the_clock_shows_twice_counts_once() -> None:
    """On the last Sunday of October 02:30 comes twice in Berlin: the first one counts."""
    found = after("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00", 2)
    assert found == ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]
    # every hour is every hour
    found = after("CRON_TZ=Europe/Berlin 30 * * * *", "2026-10-25T00:00:00", 3)
    assert found == ["2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-25T02:30:00"]


def test_an_interval_is_counted_from_its_anchor() -> None:
    """A run that took long, or a clock that was moved on, skips turns and shifts none."""
    every = parse_cron("@every 1m30s")
    anchor = ms("2026-01-01T00:00:10")
    assert every.after(anchor, anchor) == anchor + 90_000
    assert every.after(anchor + 89_999, anchor) == anchor + 90_000
    assert every.after(anchor + 90_000, anchor) == anchor + 180_000
    year = 365 * 86_400_000
    assert every.after(anchor + year + 1, anchor) == anchor + (year // 90_000 + 1) * 90_000


def test_nothing_is_due_after_the_last_year() -> None:
    """A clock beyond all calendars ends the chain, and is no error."""
    assert parse_cron("* * * * *").after(ms("9999-12-31T23:59:59"), 0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "0 0 31 2 *",
        "a b c d e",
        "@fortnightly",
        "@every",
        "@every soon",
        "@every 10ms",
        "CRON_TZ=Nowhere/Land * * * * *",
        "CRON_TZ=../../etc/passwd * * * * *",
        "TZ= * * * * *",
    ],
)
def test_what_is_no_expression(text: str) -> None:
    """It is refused in words that name the key."""
    with pytest.raises(Invalid, match=r"^workflow\.cron_schedule must "):
        parse_cron(text, "workflow.cron_schedule")
