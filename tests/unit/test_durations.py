"""Durations read as Go reads them, and options name the key that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaflow.domain.durations import MAX_NS, duration_ms, format_go, parse_go
from luaflow.domain.failure import Invalid

HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("+0", 0),
        ("1ns", 1),
        ("1us", 1_000),
        ("1µs", 1_000),
        ("1μs", 1_000),
        ("250ms", 250_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("1h30m", HOUR + HOUR // 2),
        ("-1h", -HOUR),
        ("1h1h", 2 * HOUR),
        ("0.000000001s", 1),
        ("0.3333333333333333333h", 1_199_999_999_999),
        ("9223372036854775807ns", MAX_NS),
    ],
)
def test_parse_go_reads_what_go_reads(text: str, ns: int) -> None:
    """Every form of time.ParseDuration gives its exact nanoseconds."""
    assert parse_go(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "1", "1.5", "h", ".h", "1d", "1 h", "1h ", " 1h", "--1h", "1e3s", "1H"),
        "9223372036854775808ns",
        "9" * 200 + "s",
        "\u0661s",
    ],
)
def test_parse_go_refuses_what_go_refuses(text: str) -> None:
    """Bad text is Invalid and the message says how to write a duration."""
    with pytest.raises(Invalid, match="write a number with a unit"):
        parse_go(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245 * 10**9, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (5 * HOUR + 367_001_000_000, "5h6m7.001s"),
        (HOUR, "1h0m0s"),
        (-90 * 10**9, "-1m30s"),
    ],
)
def test_format_go_prints_what_go_prints(ns: int, text: str) -> None:
    """The text equals Duration.String of Go."""
    assert format_go(ns) == text


@given(st.integers(-MAX_NS, MAX_NS))
def test_format_and_parse_are_inverse(ns: int) -> None:
    """No nanosecond is lost on the way to text and back."""
    assert parse_go(format_go(ns)) == ns


@pytest.mark.parametrize(
    ("value", "ms"), [("1s", 1000), (1500, 1500), (1.2, 2), ("1ns", 1), (0, 0), ("0", 0)]
)
def test_duration_ms_takes_strings_and_milliseconds(value: object, ms: int) -> None:
    """A number is milliseconds; a part of one rounds up."""
    assert duration_ms(value, "k") == ms


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("soon", 'k must be a duration: invalid duration "soon"'),
        (True, "k must be a duration.*got bool"),
        (None, "k must be a duration.*got nothing"),
        ([], "k must be a duration.*got list"),
        (-1, "k must not be negative"),
        ("-1s", "k must not be negative"),
        (float("nan"), "k must be a finite number"),
        (float("inf"), "k must be a finite number"),
        (10**30, "k must be below 292 years"),
        (1e300, "k must be below 292 years"),
    ],
)
def test_duration_ms_names_the_key(value: object, message: str) -> None:
    """Every refusal begins with the key that the user wrote."""
    with pytest.raises(Invalid, match=message):
        duration_ms(value, "k")
