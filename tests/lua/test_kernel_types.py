"""type(): the kernel's objects are userdata to code, as what has methods and no fields."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import Play, source

OBJECTS = [
    "errors.new('x')",
    "select(2, json.decode(''))",
    "time.now()",
    "time.parse_duration('1s')",
    "time.utc",
    "channel.new()",
    "channel.new():case_receive()",
    "process.inbox()",
    "payload.new(1)",
    "logger",
    "logger:named('x')",
    "funcs.new()",
    "process.with_context({})",
]


def results(code: str) -> object:
    """What the code gives in a workflow with all modules that it needs."""
    head = "".join(f'local {m} = require("{m}") ' for m in ("json", "time", "logger", "funcs"))
    text = f"{head}return function() return {{ {code} }} end"
    return Play(source(text, modules=("json", "time", "logger", "funcs"))).result


@pytest.mark.parametrize("made", OBJECTS)
def test_objects_are_userdata(made: str) -> None:
    """So code that walks through tables leaves them alone."""
    assert results(f"type({made}), type((pcall(next, {made})))") == ["userdata", "boolean"]


def test_all_else_is_what_lua_says() -> None:
    """Modules and the tables of users among it."""
    code = """type({}), type(json), type(process), type(setmetatable({}, {})), type(nil), type(1),
    type("x"), type(print), type(coroutine.create(print)), type(true), select("#", type(nil)),
    select(2, pcall(type))"""
    table = ["table"] * 4
    assert results(code) == [
        *table,
        "nil",
        "number",
        "string",
        "function",
        "thread",
        "boolean",
        1,
        "bad argument #1 to 'type' (value expected)",
    ]
