"""Values cross every boundary unchanged, as the same bytes everywhere."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaflow.domain.failure import Failure, Invalid
from luaflow.domain.values import INT_MAX, INT_MIN, MAX_DEPTH, decode, dumps, encode, loads

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=8)
)
PRESENT = SCALARS.filter(lambda value: value is not None)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.just("$lf"), inner.filter(lambda v: v is not None), max_size=4
        )
        | st.dictionaries(
            st.integers(0, 5) | st.text(max_size=3),
            inner.filter(lambda v: v is not None),
            max_size=4,
        )
    ),
    max_leaves=12,
)


def as_lua(value: Any) -> Any:
    """What Lua makes of it: a table with the keys 1..n is a list."""
    if isinstance(value, list):
        return [as_lua(item) for item in value]
    if isinstance(value, dict):
        keys = set(value)
        if keys and all(isinstance(k, int) for k in keys) and keys == set(range(1, len(keys) + 1)):
            return [as_lua(value[index]) for index in sorted(keys)]
        return {key: as_lua(item) for key, item in value.items()}
    return value


@given(VALUES)
def test_loads_undoes_dumps(value: Any) -> None:
    """Nothing changes on the way to bytes and back, subtype and sign included."""
    data = dumps(value)
    found = loads(data)
    assert found == as_lua(value)
    assert dumps(found) == data


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"null"),
        ([None, 1], b"[null,1]"),
        ({"b": 1, "a": None}, b'{"b":1}'),
        ({"b": 1, "a": 2, "\u00e9": 3, "Z": 4}, '{"Z":4,"a":2,"b":1,"é":3}'.encode()),
        (3.0, b"3.0"),
        (-0.0, b"-0.0"),
        (3, b"3"),
        (INT_MIN, b"-9223372036854775808"),
        ([], b"[]"),
        ({}, b"{}"),
        ((1, 2), b"[1,2]"),
        (b"\xff", b'{"$lf":"bytes","v":"/w=="}'),
        (math.inf, b'{"$lf":"float","v":"inf"}'),
        (-math.inf, b'{"$lf":"float","v":"-inf"}'),
        (math.nan, b'{"$lf":"float","v":"nan"}'),
        ({"$lf": 1}, b'{"$lf":"map","v":[["$lf",1]]}'),
        ({1: "a", 2: "b"}, b'["a","b"]'),
        ({0: "a"}, b'{"$lf":"map","v":[[0,"a"]]}'),
        ({1.0: "a"}, b'["a"]'),
        (
            {True: 1, "b": 2, b"\xff": 3, 10: 4, 2.5: 5, False: 6, "a": 7},
            (
                b'{"$lf":"map","v":[[2.5,5],[10,4],["a",7],["b",2],'
                b'[{"$lf":"bytes","v":"/w=="},3],[false,6],[true,1]]}'
            ),
        ),
        (
            Failure("Invalid", "no", retryable=False, details={"at": b"\xff"}),
            (
                b'{"$lf":"error","v":{"details":{"at":{"$lf":"bytes","v":"/w=="}},'
                b'"kind":"Invalid","message":"no","retryable":false}}'
            ),
        ),
        (datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), b'"2024-05-06T07:08:09Z"'),
        (
            datetime(2024, 5, 6, tzinfo=timezone(timedelta(hours=2))),
            b'"2024-05-06T00:00:00+02:00"',
        ),
        (timedelta(minutes=90), b'"1h30m0s"'),
    ],
)
def test_bytes_are_the_documented_ones(value: Any, data: bytes) -> None:
    """One value, one spelling."""
    assert dumps(value) == data


def test_failures_come_back_as_failures() -> None:
    """An error inside a result is an error again, its details decoded."""
    value = {"error": Failure("X", "m", True, {"raw": b"\xff", "n": math.inf}, "stack")}
    assert loads(dumps(value)) == value
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [0, {1, 2}]}, r"value at \.a\[1\]: builtins.set cannot be stored"),
        (object(), "value: builtins.object cannot be stored"),
        (date(2024, 1, 1), "datetime.date cannot be stored"),
        (datetime(2024, 1, 1), "needs a time zone"),  # noqa: DTZ001
        (2**63, "does not fit 64 bits: pass it as a string"),
        ([INT_MIN - 1], r"value at \[0\]: integer"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        ({None: 1}, "a key cannot be None"),
        ({math.nan: 1}, "a key cannot be nan"),
        ({(1, 2): 1}, "a key cannot be tuple"),
        ({"a": 1, b"a": 2}, "two keys are the same string"),
        (Failure("", "", details={"x": {1}}), r"value at \.details\.x: builtins.set"),
    ],
)
def test_dumps_says_where_and_what_to_do(value: Any, message: str) -> None:
    """What cannot be stored is refused with its place and a remedy."""
    with pytest.raises(Invalid, match=message):
        dumps(value)


def nested(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth_has_a_limit_on_both_ways() -> None:
    """64 levels pass, one more is refused; cycles are refused as too deep."""
    assert loads(dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(Invalid, match="deeper than 64"):
        dumps(nested(MAX_DEPTH + 1))
    with pytest.raises(Invalid, match="deeper than 64"):
        loads(b"[" * 65 + b"]" * 65)
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(Invalid, match="deeper than 64"):
        dumps(cycle)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not JSON"),
        (b"NaN", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"9223372036854775808", "does not fit 64 bits"),
        (b"[18446744073709551616]", "does not fit 64 bits"),
        (b"1" + b"0" * 5000, "does not fit 64 bits|not JSON"),
        (b'{"$lf":"new","v":1}', "unknown tag"),
        (b'{"$lf":"bytes","v":"/w==","x":1}', "unknown tag"),
        (b'{"$lf":"bytes","v":"/w"}', "base64"),
        (b'{"$lf":"float","v":"1"}', "unknown tag"),
        (b'{"$lf":"map","v":[[1]]}', "pairs"),
        (b'{"$lf":"map","v":[[[],1]]}', "a map key cannot be list"),
        (b'{"$lf":"map","v":[[1,1],[true,2]]}', "both keys equal to"),
        (b"[" * 5000, "not JSON"),
    ],
)
def test_loads_refuses_what_nobody_writes(data: bytes, message: str) -> None:
    """Foreign bytes end in Invalid, never in a wrong value."""
    with pytest.raises(Invalid, match=message):
        loads(data)


def test_large_floats_stay_floats() -> None:
    """A float beyond 64 bits is no integer, although the parser spells both alike."""
    assert loads(b"[1e19,-1.5e300]") == [1e19, -1.5e300]
