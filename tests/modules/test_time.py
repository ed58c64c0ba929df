"""time: constants, durations, timers and tickers, in workflows and on the wall clock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.modules.support_modules import in_function, in_workflow, play

MODULES = ("time",)

CASES: dict[str, tuple[str, Any]] = {
    "units": (
        """return { time.NANOSECOND, time.MICROSECOND, time.MILLISECOND, time.SECOND, time.MINUTE,
            time.HOUR, math.type(time.HOUR) }""",
        [1, 1000, 10**6, 10**9, 60 * 10**9, 3600 * 10**9, "integer"],
    ),
    "layouts": (
        """local t = time.date(2024, 2, 3, 4, 5, 6, 7000000, time.utc)
        local out = {}
        for i, name in ipairs({ "RFC3339", "RFC3339NANO", "RFC822", "RFC822Z", "RFC850", "RFC1123",
            "RFC1123Z", "KITCHEN", "STAMP", "STAMP_MILLI", "STAMP_MICRO", "STAMP_NANO", "DATE_TIME",
            "DATE_ONLY", "TIME_ONLY" }) do
            out[i] = t:format(time[name])
        end
        return out""",
        [
            "2024-02-03T04:05:06Z",
            "2024-02-03T04:05:06.007Z",
            "03 Feb 24 04:05 UTC",
            "03 Feb 24 04:05 +0000",
            "Saturday, 03-Feb-24 04:05:06 UTC",
            "Sat, 03 Feb 2024 04:05:06 UTC",
            "Sat, 03 Feb 2024 04:05:06 +0000",
            "4:05AM",
            "Feb  3 04:05:06",
            "Feb  3 04:05:06.007",
            "Feb  3 04:05:06.007000",
            "Feb  3 04:05:06.007000000",
            "2024-02-03 04:05:06",
            "2024-02-03",
            "04:05:06",
        ],
    ),
    "months and weekdays": (
        """return { time.JANUARY, time.JUNE, time.DECEMBER, time.SUNDAY, time.WEDNESDAY,
            time.SATURDAY }""",
        [1, 6, 12, 0, 3, 6],
    ),
    "durations": (
        """local d = time.parse_duration("1h30m45s500ms")
        local n = time.parse_duration("-1.5s")
        return { tostring(d), d:hours(), d:minutes(), d:seconds(), d:milliseconds(),
            d:microseconds(), d:nanoseconds(), math.type(d:milliseconds()), tostring(n),
            tostring(time.parse_duration(5 * time.MINUTE)), tostring(time.parse_duration(d)),
            tostring(time.parse_duration("1us")), tostring(time.parse_duration(0)) }""",
        [
            *("1h30m45.5s", 5445.5 / 3600, 5445.5 / 60, 5445.5, 5445500, 5445500000, 5445500000000),
            *("integer", "-1.5s", "5m0s", "1h30m45.5s", "1\u00b5s", "0s"),
        ],
    ),
    "refusals": (
        """local function kind(f, ...) local v, e = f(...) return v == nil and e:kind() end
        return { kind(time.parse_duration, "soon"), kind(time.parse_duration, {}),
            kind(time.parse, time.RFC3339, "no"), kind(time.parse, 5, 5), kind(time.sleep, "x"),
            kind(time.after, 0), kind(time.timer, -1), kind(time.ticker, "0s"),
            kind(time.timer, "x"), kind(time.after, nil),
            pcall(function() time.now():round("1h") end), pcall(function() time.now():sub(5) end)
                }""",
        ["Invalid"] * 10 + [False, False],
    ),
    "integers keep their precision": (
        """local t = time.unix(1703862245, 123456789)
        return { t:unix_nano(), math.type(t:unix_nano()), t:unix(), t:nanosecond(),
            time.unix(0, -1):unix_nano(), time.date(1, 1, 1, 0, 0, 0, 0, time.utc):is_zero() }""",
        [1703862245123456789, "integer", 1703862245, 123456789, -1, True],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_in_workflows(name: str) -> None:
    """What the case says."""
    body, expected = CASES[name]
    assert in_workflow(body, modules=MODULES)[: len(expected)] == expected


@pytest.mark.parametrize("name", CASES)
async def test_in_functions(tmp_path: Path, name: str) -> None:
    """The same there."""
    body, expected = CASES[name]
    got = await in_function(tmp_path, body, modules=MODULES)
    assert got[: len(expected)] == expected


async def test_the_wall_clock(tmp_path: Path) -> None:
    """Functions see the time pass, in UTC."""
    body = """local a = time.now() time.sleep("20ms") local b = time.now()
    return { a:unix_nano(), b:sub(a):milliseconds() >= 20, a:before(b), a:location():string() }"""
    first, *rest = await in_function(tmp_path, body, modules=MODULES)
    assert rest == [True, True, "Local"]
    assert abs(first / 1e9 - time.time()) < 60


async def test_timers_of_functions(tmp_path: Path) -> None:
    """after fires once and closes, a timer stops and is reset, a ticker goes on."""
    body = """local late = time.after("5ms")
    local t, ok = late:receive()
    local none, closed = late:receive()
    local timer = time.timer("1h")
    local was = timer:reset("5ms")
    local fired = timer:channel():receive()
    local over = timer:reset("1h")
    local stopped, again = timer:stop(), timer:stop()
    local ticker = time.ticker("2ms")
    local n = 0
    for _ = 1, 3 do if ticker:response():receive() then n = n + 1 end end
    return { ok, none == nil, closed, was, fired ~= nil, over, stopped, again, n, ticker:stop() }"""
    expected = [True, True, False, True, True, False, True, False, 3, True]
    assert await in_function(tmp_path, body, modules=MODULES) == expected


def test_a_ticker_keeps_sixteen_ticks() -> None:
    """Ticks that find no room are lost, and time goes on."""
    told = play(
        """local ticker = time.ticker("1s")
    process.inbox():receive()
    local n = 0
    while not channel.select({ ticker:channel():case_receive(), default = true }).default do
        n = n + 1
    end
    ticker:stop()
    return n""",
        modules=MODULES,
    )
    for seq in range(1, 31):
        told.resolve(seq)
    told.message("go")
    assert told.result == 16
    assert told.ops().count("timer") == 31
    assert told.ops()[-1] == "cancel_timer"


def test_a_timer_after_a_reset_is_stopped() -> None:
    """The timer that runs is the one that is cancelled."""
    told = play(
        """local timer = time.timer("1h")
    timer:reset("2h")
    return { timer:stop(), pcall(timer.reset, timer, 0) }""",
        modules=MODULES,
    )
    assert told.result[:2] == [True, False]
    assert "duration must be > 0" in told.result[2]
    cancels = [c.name for c in told.commands if c.op == "cancel_timer"]
    assert cancels == [b"1", b"3"]
