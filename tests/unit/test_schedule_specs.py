"""When schedules are due: times follow each other, match their fields, and keep to the clock."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from luaflow.domain.calendars import FIELDS, parse_calendar
from luaflow.domain.failure import Invalid
from luaflow.domain.schedule_specs import Spec, parse_spec, plain_words
from luaflow.domain.schedules import Plan, State, advance, time_text

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def times(spec: Spec, start: str, number: int) -> list[str]:
    """The times after ``start``, as UTC."""
    found, at = [], ms(start)
    for _ in range(number):
        following = spec.after(at)
        if following is None:
            break
        found.append(time_text(following))
        at = following
    return found


@pytest.mark.parametrize(
    ("words", "start", "expected"),
    [
        (
            {"interval": "90m"},
            "2024-01-01T00:00:00Z",
            ["2024-01-01T01:30:00Z", "2024-01-01T03:00:00Z"],
        ),
        (
            {"interval": {"every": "1h", "offset": "5m"}},
            "2024-01-01T00:05:00Z",
            ["2024-01-01T01:05:00Z", "2024-01-01T02:05:00Z"],
        ),
        (
            {"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"},
            "2024-03-29T12:00:00Z",  # the clock changes on the 31st
            ["2024-04-01T07:00:00Z", "2024-04-02T07:00:00Z"],
        ),
        (
            {"cron": ["CRON_TZ=UTC 0 9 * * *", "@every 12h"], "timezone": "Asia/Tokyo"},
            "2024-01-01T00:00:00Z",
            ["2024-01-01T09:00:00Z", "2024-01-01T12:00:00Z", "2024-01-02T00:00:00Z"],
        ),
        (
            {"calendar": {"hour": 9, "day_of_week": "MON-FRI"}},
            "2024-03-01T09:00:00Z",
            ["2024-03-04T09:00:00Z", "2024-03-05T09:00:00Z"],
        ),
        (
            {"calendar": {"month": "feb", "day_of_month": 29}},
            "2024-03-01T00:00:00Z",
            ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
        ),
        (
            {"calendar": {"hour": "8-18/5", "minute": [0, {"start": 30, "end": 31}], "second": 5}},
            "2024-01-01T08:30:05Z",
            ["2024-01-01T08:31:05Z", "2024-01-01T13:00:05Z"],
        ),
        (
            {"calendar": {"year": [2030, 2031], "month": 6, "day_of_month": "1"}},
            "2024-01-01T00:00:00Z",
            ["2030-06-01T00:00:00Z", "2031-06-01T00:00:00Z"],
        ),
        ({"calendar": {"day_of_week": 7}}, "2024-01-01T00:00:00Z", ["2024-01-07T00:00:00Z"]),
        (
            {
                "interval": "1h",
                "start_at": "2024-01-01T10:00:00+01:00",
                "end_at": "2024-01-01T10:00:00",
            },
            "2023-01-01T00:00:00Z",
            ["2024-01-01T09:00:00Z", "2024-01-01T10:00:00Z"],
        ),
    ],
)
def test_coming_times(words: dict[str, Any], start: str, expected: list[str]) -> None:
    """Each kind of spec, from its words."""
    found = times(parse_spec(words), start, len(expected) + 1)
    assert found[: len(expected)] == expected
    if "end_at" in words or "year" in words.get("calendar", {}):
        assert found == expected


def test_a_time_the_clock_skips_is_made_up_for_after_the_gap() -> None:
    """In Berlin 02:00-03:00 of 31 March 2024 is not; what falls into it is due at 03:00, once."""
    for words in ({"calendar": {"hour": 2, "minute": "0,30"}}, {"calendar": {"hour": "2,3"}}):
        spec = parse_spec({**words, "timezone": "Europe/Berlin"})
        found = times(spec, "2024-03-30T12:00:00Z", 2)
        assert found[0] == "2024-03-31T01:00:00Z"
        assert found[1] > "2024-03-31T12:00:00Z"


def test_a_time_the_clock_shows_twice_counts_once() -> None:
    """02:30 of 27 October 2024 is before the clock goes back, and not again an hour later."""
    spec = parse_spec({"calendar": {"hour": 2, "minute": 30}, "timezone": "Europe/Berlin"})
    assert times(spec, "2024-10-26T12:00:00Z", 2) == [
        "2024-10-27T00:30:00Z",
        "2024-10-28T01:30:00Z",
    ]


def some_calendar(chance: random.Random) -> dict[str, Any]:
    """A calendar whose fields are random ranges; it is due at least once in some years."""
    words: dict[str, Any] = {}
    for name in ("second", "minute", "hour", "day_of_week", "month"):
        least, most = FIELDS[name]
        if chance.random() < 0.7:
            first = chance.randint(least, most)
            last = chance.randint(first, most)
            words[name] = f"{first}-{last}/{chance.randint(1, 7)}"
    return words or {"hour": 1}


@pytest.mark.parametrize("seed", range(40))
def test_times_rise_match_and_leave_out_none(seed: int) -> None:
    """Of random calendars, in a zone with gaps: found by steps, and by looking at each second."""
    chance = random.Random(seed)
    words = some_calendar(chance)
    spec = parse_spec({"calendar": words, "timezone": "Europe/Berlin"})
    (calendar,) = spec.calendars
    at = ms(chance.choice(["2024-03-30T20:00:00Z", "2024-10-26T20:00:00Z", "2024-01-01T00:00:00Z"]))
    for _ in range(20):
        following = spec.after(at + chance.randint(0, 999))
        assert following is not None
        assert following > at
        for between in range(at + 1000, min(following, at + 600_000), 1000):
            local = datetime.fromtimestamp(between / 1000, BERLIN)
            assert local.fold or not _matches(calendar, local), (words, local)
        local = datetime.fromtimestamp(following / 1000, BERLIN)
        end_of_gap = local.utcoffset() != (local - timedelta(hours=1)).utcoffset()
        assert _matches(calendar, local) or end_of_gap, (words, local)
        assert spec.after(following - 1) == following
        at = following


def _matches(calendar: Any, at: datetime) -> bool:
    return (
        at.second in calendar.second
        and at.minute in calendar.minute
        and at.hour in calendar.hour
        and at.month in calendar.month
        and at.day in calendar.day_of_month
        and at.isoweekday() % 7 in calendar.day_of_week
    )


@pytest.mark.parametrize("seed", range(20))
def test_jitter_keeps_the_order(seed: int) -> None:
    """Each moment is the same for everybody, not before its time, and before the next time."""
    spec = parse_spec({"cron": ["*/7 * * * *", "*/5 * * * *"], "jitter": "4m"})
    at = ms("2024-01-01T00:00:00Z") + seed * 3_600_000
    moments = set()
    for _ in range(30):
        following = spec.after(at)
        assert following
        due = spec.due("s", following)
        assert due == parse_spec(spec_words()).due("s", following)
        beyond = spec.after(following)
        assert beyond
        assert following <= due < beyond
        moments.add(due - following)
        at = following
    assert len(moments) > 10


def spec_words() -> dict[str, Any]:
    return {"cron": ["*/7 * * * *", "*/5 * * * *"], "jitter": "4m"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "cron, interval or calendar must be given"),
        ({"crom": "x"}, "crom is not known: did you mean cron?"),
        ({"cron": 5}, 'cron must be text such as "0 9 '),
        ({"cron": "x"}, "cron must be a cron expression"),
        ({"cron": ["0 9 * * *"] * 101}, "cron must be 100 at most, got 101"),
        ({"interval": "1ms"}, "interval.every must be 1000 ms at least"),
        ({"interval": {"every": "1m", "offset": "1m"}}, "interval.offset must be less than"),
        ({"interval": {"each": "1m"}}, "interval.each is not known"),
        ({"calendar": {}}, "calendar must be a table"),
        ({"calendar": []}, "cron, interval or calendar must be given"),
        ({"calendar": {"hours": 1}}, "calendar.hours is not known: the fields of a calendar are"),
        ({"calendar": {"hour": 24}}, "calendar.hour must be numbers from 0 to 23, got 24"),
        ({"calendar": {"hour": "9-5"}}, "calendar.hour must be numbers from 0 to 23, got '9-5'"),
        ({"calendar": {"hour": True}}, "calendar.hour must be"),
        ({"calendar": {"hour": []}}, "calendar.hour must not be empty"),
        ({"calendar": {"day_of_week": "Caturday"}}, "calendar.day_of_week must be"),
        ({"calendar": {"month": "1/0"}}, "calendar.month must be"),
        ({"calendar": {"month": 2, "day_of_month": 30}}, "calendar must be due at some time"),
        ({"interval": "1h", "timezone": "Mars"}, "timezone must name a time zone"),
        ({"cron": "@daily", "timezone": "Mars"}, "timezone must name a time zone"),
        ({"interval": "1h", "start_at": "soon"}, "start_at must be a time such as"),
        (
            {"interval": "1h", "start_at": "2024-01-02", "end_at": "2024-01-01"},
            "end_at must not be before start_at",
        ),
        ({"interval": "1h", "jitter": "-1s"}, "jitter must not be negative"),
    ],
)
def test_what_cannot_be_read_says_why(words: dict[str, Any], says: str) -> None:
    """The message begins with the key."""
    with pytest.raises(Invalid) as caught:
        parse_spec(words)
    assert says in caught.value.message


def test_words_of_python_become_json() -> None:
    """Durations and moments as a program has them."""
    words = {
        "interval": {"every": timedelta(minutes=1)},
        "start_at": datetime(2024, 1, 1, tzinfo=UTC),
        "cron": None,
    }
    assert plain_words(words) == {
        "interval": {"every": 60_000},
        "start_at": "2024-01-01T00:00:00+00:00",
    }
    assert parse_spec(plain_words(words)).intervals[0].every_ms == 60_000


def test_names_of_days_and_months_may_be_long() -> None:
    """MON, mon and Monday are one."""
    for word in ("MON-WED", "mon-wed", "Monday-Wednesday", "1-3"):
        assert parse_calendar({"day_of_week": word}, "c").day_of_week == {1, 2, 3}


@pytest.mark.parametrize("seed", range(30))
def test_no_time_is_lost_or_doubled_by_when_schedulers_look(seed: int) -> None:
    """However late and often a scheduler looks: the same runs, each for another time, in order."""
    chance = random.Random(seed)
    plan = Plan("t", {"cron": "*/3 * * * *", "jitter": "2m"}, overlap="allow_all")
    begin = ms("2024-01-01T00:00:00Z")
    state = State(uid="u", created=begin, updated=begin)
    state.aim("s", plan, begin)
    now, found, more = begin, list[int](), False
    while now < begin + 86_400_000 or more:
        now += 0 if more else chance.randint(1, 10 ** chance.randint(2, 7))
        stored = orjson.dumps(state.to_json())
        state, other = (State.from_json(orjson.loads(stored)) for _ in range(2))
        step = advance("s", plan, state, now)
        assert step == advance("s", plan, other, now), "two schedulers find the same"
        assert state == other
        assert step.latest <= now
        found += [start.at for start in step.starts]
        more = step.more
        state.running.clear()
    expected = [begin + n * 180_000 for n in range(1, len(found) + 1)]
    assert found == expected
    assert plan.when.due("s", found[-1]) <= now
    assert state.due is not None
    assert state.due > now
