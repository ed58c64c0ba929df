"""Time zones: the IANA list, recorded when a workflow first asks for one of it."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import io
import zoneinfo
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.modules.support_modules import in_both_contexts, in_workflow, play
from tests.support.mutants import kernel_mutant, proves

MODULES = ("time", "workflow")

CASES: dict[str, tuple[str, Any]] = {
    "a zone with summer time": (
        """local ny = time.load_location("America/New_York")
        local winter, summer = time.date(2024, 1, 15, 14, 0, 0, 0, ny), time.date(2024, 7, 1, 9,
            0, 0, 0, ny)
        return { tostring(winter), winter:utc():format_rfc3339(), tostring(summer),
            summer:format(time.RFC1123), ny:string(), winter:location():string(),
            summer:format("MST -07"), tostring(ny) }""",
        [
            "2024-01-15 14:00:00 -0500 EST",
            "2024-01-15T19:00:00Z",
            "2024-07-01 09:00:00 -0400 EDT",
            "Mon, 01 Jul 2024 09:00:00 EDT",
            "America/New_York",
            "America/New_York",
            "EDT -04",
            "America/New_York",
        ],
    ),
    "hours that are not there, and those that come twice": (
        """local z = time.load_location("Europe/Berlin")
        return { tostring(time.date(2024, 3, 31, 2, 30, 0, 0, z)),
            tostring(time.date(2024, 10, 27, 2, 30, 0, 0, z)),
            tostring(time.date(2024, 10, 27, 2, 30, 0, 0, z):add("1h")) }""",
        [
            "2024-03-31 03:30:00 +0200 CEST",
            "2024-10-27 02:30:00 +0100 CET",
            "2024-10-27 03:30:00 +0100 CET",
        ],
    ),
    "adding days keeps the time of day": (
        """local t = time.date(2024, 3, 30, 12, 0, 0, 0, time.load_location("Europe/Berlin"))
        return { tostring(t:add_date(0, 0, 1)), tostring(t:add("24h")), t:add_date(0, 0,
            1):sub(t):hours() }""",
        ["2024-03-31 12:00:00 +0200 CEST", "2024-03-31 13:00:00 +0200 CEST", 23.0],
    ),
    "parsing in a zone": (
        """local z = time.load_location("Asia/Tokyo")
        local ny = time.load_location("America/New_York")
        local function show(...) return tostring(time.parse(...)) end
        return { show("2006-01-02 15:04", "2024-12-29 14:30", z),
            show(time.RFC3339, "2024-12-29T14:30:00+09:00", z),
            show(time.RFC3339, "2024-12-29T14:30:00+01:00", z),
            show("2006-01-02 15:04 MST", "2024-07-01 10:00 EDT", ny),
            show("2006-01-02 15:04 MST", "2024-07-01 10:00 XYZ", ny),
            show(time.RFC3339, "2024-12-29T14:30:00Z", z) }""",
        [
            "2024-12-29 14:30:00 +0900 JST",
            "2024-12-29 14:30:00 +0900 JST",
            "2024-12-29 14:30:00 +0100 +0100",
            "2024-07-01 10:00:00 -0400 EDT",
            "2024-07-01 10:00:00 +0000 XYZ",
            "2024-12-29 14:30:00 +0000 UTC",
        ],
    ),
    "one moment in several places": (
        """local t = time.unix(1719824400, 0):utc()
        local k = t:in_location(time.load_location("Asia/Kolkata"))
        local c, s = k:clock()
        return { k:hour(), k:minute(), c, s, k:equal(t), k == t, k:unix(), k:year_day(),
            t:in_location(time.load_location("Pacific/Apia")):day() }""",
        [14, 30, 14, 30, True, True, 1719824400, 183, 1],
    ),
    "UTC and local time": (
        """return { time.utc:string(), time.localtz:string(), time.load_location("UTC") == time.utc,
            time.load_location("Local"):string(), tostring(time.unix(0, 0):in_local()),
            time.date(2024, 1, 1):location():string(), time.now():utc():location():string() }""",
        ["UTC", "Local", True, "Local", "1970-01-01 00:00:00 +0000 UTC", "Local", "UTC"],
    ),
    "names that are none": (
        """local function kind(name) local l, e = time.load_location(name) return l == nil and
            e:kind() end
        return { kind(""), kind(nil), kind(5), kind("Nowhere/City"), kind("../../etc/passwd"),
            kind("Europe"),
            kind("/etc/localtime"), kind("America//New_York"), kind("tzdata.zi") }""",
        ["Invalid"] * 3 + ["NotFound"] * 6,
    ),
}


test_in_workflows, test_in_functions = in_both_contexts(CASES, MODULES)


ZONES = (
    *("America/New_York", "America/Sao_Paulo", "America/Nuuk", "America/St_Johns"),
    *("Europe/Berlin", "Europe/Dublin", "Africa/Casablanca", "Antarctica/Troll", "Etc/GMT+5"),
    *("Asia/Tehran", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Gaza"),
)


def python_zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone as Python reads it, from the same files: those of the system may be older."""
    data = importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(data), name)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(st.integers(-3_000_000_000, 7_000_000_000), min_size=1, max_size=30),
)
def test_offsets_are_those_of_python(name: str, moments: list[int]) -> None:
    """At any moment, before the first rule and after the last."""
    body = """local name, moments = ...
    local zone, out = time.load_location(name), {}
    for i, s in ipairs(moments) do
        local t = time.unix(s, 0):in_location(zone)
        out[i] = t:format("2006-01-02T15:04:05 -07:00:00 MST")
    end
    return out"""
    zone, expected = python_zone(name), []
    for moment in moments:
        at = dt.datetime.fromtimestamp(moment, zone)
        offset = int((at.utcoffset() or dt.timedelta()).total_seconds())
        sign, size = "-" if offset < 0 else "+", abs(offset)
        text = f"{sign}{size // 3600:02}:{size // 60 % 60:02}:{size % 60:02}"
        expected.append(f"{at:%Y-%m-%dT%H:%M:%S} {text} {at.tzname()}")
    assert in_workflow(body, name, moments, modules=MODULES) == expected


ROUND = "local z = time.load_location('Europe/Berlin') return time.unix(0, 0):in_location(z):hour()"


@proves(
    kernel_mutant("calls", "value = K.marker(name, ...)", 'value = S.service("marker", name, ...)')
)
async def test_a_workflow_keeps_the_zone_it_began_with() -> None:
    """The list is recorded, so a newer one on the worker changes nothing for it."""
    told = play(ROUND, modules=MODULES)
    assert [(c.op, c.name) for c in told.commands] == [("marker", b"time.zone")]
    moved = {"at": [], "kinds": [], "types": [[7200, "XYZ"]], "rule": ""}
    replayed = play(ROUND, modules=MODULES, services={"marker": lambda *_: (moved,)})
    assert (told.result, replayed.result) == (1, 2)


def test_a_zone_is_recorded_once() -> None:
    """And not inside a side effect, whose code does not run again."""
    body = "for _ = 1, 5 do time.load_location('Asia/Tokyo') end return 1"
    assert len(play(body, modules=MODULES).commands) == 1
    inside = """workflow.side_effect(function() return time.load_location('Asia/Tokyo'):string()
        end)
    return time.load_location('Asia/Tokyo'):string()"""
    names = [c.name for c in play(inside, modules=MODULES).commands]
    assert names == [b"side_effect", b"time.zone"]
