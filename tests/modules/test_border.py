"""Values at the border: Lua, JSON, Python and back are the same value, byte for byte."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lua.support_kernel import Play, source
from tests.modules.support_modules import in_workflow
from tests.support.engine import Engine
from tests.support.mutants import kernel_mutant, proves

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.lua.vm import Engine as LuaEngine

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
BYTES = st.binary(max_size=12).map(lambda data: b"\xff" + data)
FLOATS = st.one_of(st.floats(), st.sampled_from([3.0, -0.0, 1e300, 5e-324, 2.0**53 + 2]))
LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    FLOATS,
    TEXTS,
    BYTES,
    st.sampled_from(["$lf", ""]),
)
FRACTIONS = st.integers(-1000, 1000).map(lambda n: n + 0.5)
KEYS = st.one_of(TEXTS, BYTES, FRACTIONS, st.integers(-(2**63), 2**63 - 1), st.just("$lf"))
FAILURES = st.builds(
    Failure,
    st.sampled_from(["NotFound", "Invalid", "Internal", "", "Custom"]),
    TEXTS,
    retryable=st.sampled_from([True, False, None]),
    details=st.one_of(st.none(), st.dictionaries(TEXTS, LEAVES, min_size=1, max_size=2)),
)
VALUES = st.recursive(
    st.one_of(LEAVES, FAILURES),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)

ECHO = source("return function(...) return ... end")
ONE = LuaEngine(ECHO)
"""Making one takes longer than a value takes through it."""


def same(value: Any) -> bytes:
    """A form in which 3 and 3.0, -0.0 and 0.0, text and bytes differ, and nan is like itself."""
    return values.dumps(value)


def through_lua(value: Any, engine: LuaEngine | None = None) -> Any:
    """The value after Lua has read and written it."""
    last = Play(ECHO, values.encode(value), engine=engine).last
    assert last.status == "done", last.failure
    return values.loads(last.result or b"null")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.none(), VALUES))
def test_through_lua(value: Any) -> None:
    """What Python writes, Lua reads and writes as it was."""
    assert same(through_lua(value, ONE)) == same(value)


THREE_IS_AN_INTEGER = kernel_mutant(
    "text", 'local text = v .. ""', 'local text = format("%.14g", v)'
)
BYTES_ARE_REPAIRED = kernel_mutant(
    "text", 'if tagged then return \'{"$lf":"bytes"', 'if false then return \'{"$lf":"bytes"'
)


@proves(THREE_IS_AN_INTEGER, BYTES_ARE_REPAIRED)
async def test_what_is_easily_lost() -> None:
    """A float that is whole, minus zero, bytes that are no text."""
    easily: tuple[Any, ...] = (3.0, -0.0, b"\xff\x00", {"a": [1.0, b"\xfe"]}, {}, [], {2: "b"})
    for value in easily:
        assert same(through_lua(value)) == same(value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return time.unix(0, 5)", "1970-01-01T00:00:00.000000005Z"),
        ("return { time.parse_duration('90s') }", ["1m30s"]),
        (
            "return time.date(2024, 7, 1, 0, 0, 0, 0, time.fixed_zone('X', 3600))",
            "2024-07-01T00:00:00+01:00",
        ),
        ("return { errors.new({ message = 'm', kind = 'Invalid', retryable = true }) }", None),
        ("return { [1] = 'a', [3] = 'c' }", {1: "a", 3: "c"}),
        ("return { 1, 2, x = 3 }", {1: 1, 2: 2, "x": 3}),
        ("return {}", []),
        ("return nil", None),
        ("return math.mininteger", -(2**63)),
        ("return 2^53", float(2**53)),
        ("return 1e15", 1e15),
        ("return time.utc", "UTC"),
        ("return { print and 1 }", [1]),
    ],
)
def test_what_lua_makes(body: str, expected: Any) -> None:
    """Objects of the kernel become texts, errors stay errors, tables are lists or maps."""
    got = in_workflow(body, modules=("time",))
    if expected is None and got is not None:
        (failure,) = got
        assert (failure.kind, failure.message, failure.retryable) == ("Invalid", "m", True)
    else:
        assert same(got) == same(expected)


def test_what_only_python_has() -> None:
    """Times and durations become texts, tuples lists."""
    value = {"t": datetime(2030, 1, 2, tzinfo=UTC), "d": timedelta(seconds=90), "l": (1, 2)}
    assert through_lua(value) == {"t": "2030-01-02T00:00:00Z", "d": "1m30s", "l": [1, 2]}


CALLS = """local funcs = require("funcs")
local function main(value)
    local lua, err = funcs.call("app:echo_lua", value)
    if err then return nil, err end
    local python, wrong = funcs.call("app:echo_python", lua)
    if wrong then return nil, wrong end
    return { python }
end"""


async def test_through_activities(engine: Engine) -> None:
    """Client, workflow, Lua activity, Python activity, history, and all the way back."""
    (engine.folder).mkdir(exist_ok=True)
    (engine.folder / "border_handlers.py").write_text("def echo(value=None):\n    return value\n")
    await engine.deploy(
        {"flow": CALLS},
        activities={"echo_lua": "local function main(value) return value end"},
        python={"echo_python": "border_handlers:echo"},
    )
    await engine.worker()
    loop = asyncio.get_running_loop()

    async def call(value: Any) -> Any:
        return await engine.client.execute("app:flow", value)

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(VALUES.filter(lambda value: not isinstance(value, Failure)))
    def check(value: Any) -> None:
        got = asyncio.run_coroutine_threadsafe(call(value), loop).result(30)
        assert same(got) == same([value])

    await asyncio.to_thread(check)


def test_arguments_are_refused_by_place() -> None:
    """What cannot cross says where it stands."""
    body = """local loop = {} loop.a = { loop }
    return { select(2, require("funcs").call("a:b", 1, { x = { print } })):message(),
        select(2, require("funcs").call("a:b", loop)):kind() }"""
    text, kind = in_workflow(body, modules=("funcs",))
    assert text.startswith("argument 2: at .x[1]: a function cannot leave the code")
    assert kind == "Invalid"
