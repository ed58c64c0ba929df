"""The time module: the workflow clock, timers, durations, dates and layouts; os on top of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lua.support_kernel import INFO, START_MS, Play, result_of, source

from luaflow.domain.durations import format_go, parse_go
from luaflow.domain.failure import Invalid
from luaflow.lua.vm import BundleSource, Engine

T = 'local time = require("time")\n'


def test_now_is_the_largest_time_fed() -> None:
    """Constant inside an activation, never going back."""
    play = Play(
        T
        + """return function()
        local a, b = time.now(), time.now()
        time.sleep("1s")
        return { a == b, time.now():sub(a):seconds(), tostring(a), a:unix_nano() }
    end"""
    )
    play.now -= 5000
    play.resolve(1)
    assert play.result == [
        True,
        0.0,
        "2023-11-14 22:13:21 +0000 UTC",
        (START_MS + 1000) * 1_000_000,
    ]


def test_sleep() -> None:
    """Nanoseconds, texts and Durations; zero returns, nonsense is Invalid."""
    play = Play(
        T
        + """return function()
        time.sleep(0) time.sleep(-5)
        local _, err = time.sleep("soon")
        time.sleep(1500)
        time.sleep(time.parse_duration("1h30m"))
        time.sleep(time.SECOND * 2)
        return err:kind()
    end"""
    )
    for seq in (1, 2, 3):
        play.resolve(seq)
    assert [c.data for c in play.commands] == [b"1500", b"5400000000000", b"2000000000"]
    assert play.result == "Invalid"


def test_after_gives_the_time_once_and_closes() -> None:
    """With select it is a timeout."""
    play = Play(
        T
        + """return function()
        local late = time.after("5s")
        local r = channel.select({ process.inbox():case_receive(), late:case_receive() })
        local ch = time.after("1s")
        local t, ok = ch:receive()
        local t2, ok2 = ch:receive()
        return { r.ok, r.value:unix(), ok, t2 == nil, ok2 }
    end"""
    )
    play.resolve(1)
    play.resolve(2)
    assert play.result == [True, START_MS // 1000 + 2, True, True, False]


def test_timers_stop_and_reset() -> None:
    """stop tells whether it was active and closes; reset starts over with a new timer."""
    play = Play(
        T
        + """return function()
        local t = time.timer("1h")
        local a = t:reset("2h")
        local b = t:stop()
        local v, ok = t:channel():receive()
        local c = t:stop()
        local fired = time.timer("1s")
        fired:response():receive()
        return { a, b, v == nil, ok, c, fired:reset("1s"), fired:stop() }
    end"""
    )
    assert play.ops() == ["timer", "cancel_timer", "timer", "cancel_timer", "timer"]
    play.resolve(5)
    assert play.result == [True, True, True, False, False, False, True]


def test_tickers_go_on_until_stopped() -> None:
    """Each tick arms the next."""
    play = Play(
        T
        + """return function()
        local t = time.ticker("1s")
        local n = 0
        for _ = 1, 3 do t:channel():receive() n = n + 1 end
        return { n, t:stop() }
    end"""
    )
    for seq in (1, 2, 3):
        play.resolve(seq)
    assert play.result == [3, True]
    assert play.ops() == ["timer", "timer", "timer", "timer", "cancel_timer"]


@pytest.mark.parametrize("name", ["after", "timer", "ticker"])
def test_durations_of_timers_must_be_positive(name: str) -> None:
    """Zero and less are Invalid."""
    code = (
        T + f"return function() local v, e = time.{name}(0) return {{ e:kind(), e:message() }} end"
    )
    assert Play(code).result == ["Invalid", f"{name} duration must be > 0"]


VALUES: dict[str, tuple[str, Any]] = {
    "duration methods": (
        """local d = time.parse_duration("1h30m0.5s")
        return { d:nanoseconds(), d:milliseconds(), d:seconds(), d:minutes(), d:hours(),
            tostring(d) }""",
        [5400500000000, 5400500, 5400.5, 90.00833333333334, 1.5001388888888889, "1h30m0.5s"],
    ),
    "durations cross as Go text, times as RFC 3339": (
        "return { time.parse_duration('90s'), time.unix(0, 5), time.date(2024, 2, 29) }",
        ["1m30s", "1970-01-01T00:00:00.000000005Z", "2024-02-29T00:00:00Z"],
    ),
    "parts of a time": (
        """local t = time.date(2024, time.DECEMBER, 31, 23, 59, 58, 7)
        local y, m, d = t:date()
        local h, mi, s = t:clock()
        return { y, m, d, h, mi, s, t:nanosecond(), t:weekday() == time.TUESDAY, t:year_day() }""",
        [2024, 12, 31, 23, 59, 58, 7, True, 366],
    ),
    "overflowing dates roll over": (
        "return { tostring(time.date(2024, 14, 35)), tostring(time.date(2023, 1, 0)) }",
        ["2025-03-07 00:00:00 +0000 UTC", "2022-12-31 00:00:00 +0000 UTC"],
    ),
    "arithmetic": (
        """local t = time.date(2024, 1, 31)
        return { tostring(t:add("36h")), tostring(t:add_date(0, 1, 0)),
            tostring(t:sub(time.date(2024, 1, 30))), t:before(t:add(1)), t:after(t),
            t:equal(t:utc()) }""",
        [
            "2024-02-01 12:00:00 +0000 UTC",
            "2024-03-02 00:00:00 +0000 UTC",
            "24h0m0s",
            True,
            False,
            True,
        ],
    ),
    "zones with a fixed offset": (
        """local z = time.fixed_zone("CET", 3600)
        local t = time.date(2024, 1, 1, 0, 30, 0, 0, z)
        return { tostring(t), t:utc():format_rfc3339(), t:format_rfc3339(),
            t:location():string() }""",
        [
            "2024-01-01 00:30:00 +0100 CET",
            "2023-12-31T23:30:00Z",
            "2024-01-01T00:30:00+01:00",
            "CET",
        ],
    ),
    "truncate and round": (
        """local t = time.date(2024, 1, 1, 10, 29, 59, 600000000)
        local hour = time.parse_duration("1h")
        return { t:truncate(hour):format(time.DATE_TIME), t:round(hour):format(time.DATE_TIME),
            t:round(time.parse_duration("1s")):format(time.DATE_TIME),
            tostring(t:truncate(time.parse_duration("7ms"))) }""",
        [
            "2024-01-01 10:00:00",
            "2024-01-01 10:00:00",
            "2024-01-01 10:30:00",
            "2024-01-01 10:29:59.594 +0000 UTC",
        ],
    ),
    "layouts": (
        """local t = time.date(2006, 1, 2, 15, 4, 5, 123456789)
        return { t:format(time.RFC3339), t:format(time.RFC3339NANO), t:format(time.RFC1123),
            t:format(time.KITCHEN), t:format("Monday, January 2 2006 .000 pm"),
            t:format(time.STAMP_MILLI), t:format("06-1-2 3:4:5 002 _2") }""",
        [
            "2006-01-02T15:04:05Z",
            "2006-01-02T15:04:05.123456789Z",
            "Mon, 02 Jan 2006 15:04:05 UTC",
            "3:04PM",
            "Monday, January 2 2006 .123 pm",
            "Jan  2 15:04:05.123",
            "06-1-2 3:4:5 002  2",
        ],
    ),
    "parsing": (
        """local ok = {}
        for _, c in ipairs({
            { time.RFC3339, "2024-02-29T10:00:00+02:00" }, { time.DATE_ONLY, "2024-02-29" },
            { time.DATE_TIME, "2024-02-29 01:02:03.25" }, { time.KITCHEN, "3:04PM" },
            { time.RFC1123, "Thu, 29 Feb 2024 10:00:00 GMT" } }) do
            ok[#ok + 1] = tostring(time.parse(c[1], c[2]):utc())
        end
        local t, err = time.parse(time.DATE_ONLY, "2023-02-29")
        local u, err2 = time.parse(time.DATE_ONLY, "nonsense")
        return { ok, t == nil, err:kind(), err2:kind() }""",
        [
            [
                "2024-02-29 08:00:00 +0000 UTC",
                "2024-02-29 00:00:00 +0000 UTC",
                "2024-02-29 01:02:03.25 +0000 UTC",
                "0000-01-01 15:04:00 +0000 UTC",
                "2024-02-29 10:00:00 +0000 UTC",
            ],
            True,
            "Invalid",
            "Invalid",
        ],
    ),
    "the zero time": (
        "return { time.date(1, 1, 1):is_zero(), time.unix(0):is_zero() }",
        [True, False],
    ),
    "unknown zones say what to use": (
        """local l, err = time.load_location("Europe/Nowhere")
        local _, bad = time.load_location("")
        return { l == nil, err:kind(), bad:kind(), time.load_location("UTC"):string() }""",
        [True, "NotFound", "Invalid", "UTC"],
    ),
    "os on workflow time": (
        """return { os.time(), os.date("!%Y-%m-%d %H:%M:%S"), os.date("%c", 0),
            os.date("*t", 0).yday,
            os.time({ year = 2024, month = 2, day = 30, hour = 0 }), os.difftime(5, 3), os.clock(),
            os.date("%j %U %a %%", 1704067200), os.platform }""",
        [
            START_MS // 1000 + 1,
            "2023-11-14 22:13:21",
            "Thu Jan  1 00:00:00 1970",
            1,
            1709251200,
            2.0,
            0.0,
            "001 01 Mon %",
            "wippy",
        ],
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    """Each case names its claim."""
    code, expected = VALUES[name]
    assert result_of("local time = require('time') " + code) == expected


ENGINE = Engine(
    source("""
local time = require("time")
local call = {}
function call.duration(text)
    local d, err = time.parse_duration(text)
    return d and { d:nanoseconds(), tostring(d) } or err:kind()
end
function call.seconds(s)
    local t = time.unix(s)
    local y, m, d = t:date()
    return { y, m, d, t:weekday(), t:year_day(), t:format(time.RFC3339),
        time.parse(time.RFC3339, t:format(time.RFC3339)):unix() }
end
return function(name, value) return call[name](value) end
""")
)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.integers(-(2**62), 2**62).map(format_go), st.text("0123456789.hmsnuµ+-", max_size=12)
    )
)
def test_durations_are_read_and_written_as_in_python(text: str) -> None:
    """Both sides take the same texts and print the same."""
    try:
        ns = parse_go(text)
        expected: Any = [ns, format_go(ns)]
    except Invalid:
        expected = "Invalid"
    assert Play("", "duration", text, engine=ENGINE).result == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(-62135596800, 253402300799))
def test_the_calendar_is_pythons(seconds: int) -> None:
    """Every day of the years 1 to 9999."""
    t = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    assert Play("", "seconds", seconds, engine=ENGINE).result == [
        t.year,
        t.month,
        t.day,
        t.isoweekday() % 7,
        t.timetuple().tm_yday,
        t.strftime(f"{t.year:04}-%m-%dT%H:%M:%SZ"),
        seconds,
    ]


@pytest.mark.parametrize("part", ["0/0", "0.5", "1/0", '"x"', "{}", "nil, 1.5"])
def test_add_date_takes_whole_numbers_only(part: str) -> None:
    """A Time that has no date would have failed where it is written, not where it was made."""
    play = Play(T + f"return function() local t = time.now():add_date({part}) end")
    assert "must be a whole number" in play.failure["message"]
    assert play.failure["message"].startswith("flow.lua:2: time: ")


def test_operators_on_durations_say_what_is_wrong() -> None:
    """With the user's line."""
    play = Play(T + 'return function() return time.parse_duration("1s") + "soon" .. "" end')
    assert play.failure["message"].startswith('flow.lua:2: invalid duration "soon"')


def test_a_traced_replay_meets_tickers() -> None:
    """The kernel gives a ticker's next timer itself: no code stands behind it."""
    code = """
    local function main()
        local time = require("time")
        local ticker = time.ticker("1s")
        ticker:channel():receive() ticker:channel():receive()
        return 1
    end
    return { main = main }"""
    run = Engine(BundleSource("app:t", code, modules=("time",))).open({**INFO, "trace": True})
    out = run.step(b"start", 1, 1, 0, [], {})
    out = run.step(b"resolve", 2000, 2, 0, out.commands[0].seq, True, None)
    assert out.status == "wait"
    assert run.line(1).startswith("app:t:")


def test_a_timer_reset_fills_a_decision_like_a_new_one() -> None:
    """Its commands are counted, so the code pauses."""
    code = """return function()
        local timer = require("time").timer("1h")
        for i = 1, 3000 do timer:reset("2h") end
        return 1
    end"""
    play = Play(code)
    assert play.last.status == "more"
    assert len(play.commands) <= 502
