"""Error objects: made, wrapped, raised, carried through boundaries."""

from __future__ import annotations

from typing import Any

import pytest
from tests.lua.support_kernel import Play, result_of

CASES: dict[str, tuple[str, Any]] = {
    "constants are the kinds": (
        "return { errors.NOT_FOUND, errors.UNKNOWN, errors.RATE_LIMITED }",
        ["NotFound", "", "RateLimited"],
    ),
    "a text makes an error of unknown kind": (
        """local e = errors.new('m')
        return { e:message(), e:kind(), e:retryable() == nil, e:details() == nil, tostring(e) }""",
        ["m", "", True, True, "m"],
    ),
    "kind and message in two arguments": (
        "local e = errors.new(errors.INVALID, 'm') return { e:kind(), e:message() }",
        ["Invalid", "m"],
    ),
    "wrap keeps the inner parts and shows its context": (
        """local e = errors.new({ message = "m", kind = "Timeout", retryable = true })
        local w = errors.wrap(errors.wrap(e, "inner"), "outer")
        return { w:message(), w:kind(), w:retryable(), tostring(w) }""",
        ["m", "Timeout", True, "outer: inner: m"],
    ),
    "is compares kinds and is false for anything else": (
        """local e = errors.new({ message = "m", kind = "Conflict" })
        return { errors.is(e, "Conflict"), errors.is(e, "Invalid"), errors.is(nil, "Conflict"),
            errors.is("Conflict", "Conflict") }""",
        [True, False, False, False],
    ),
    "concatenation works on both sides": (
        "local e = errors.new('m') return { 'a ' .. e, e .. ' b', e .. e }",
        ["a m", "m b", "mm"],
    ),
    "an error passes pcall as itself": (
        "local e = errors.new('m') local ok, got = pcall(error, e) return { ok, got == e }",
        [False, True],
    ),
    "the stack names the user's frames": (
        "local e = errors.new('m') return { e:stack(), errors.call_stack(e).frames[1].line }",
        ["flow.lua:1: in ?", 1],
    ),
    "objects are read-only and of type userdata": (
        """local e = errors.new('m') local ok = pcall(function() e.kind = 1 end)
        return { ok, type(e), e.kind ~= nil }""",
        [False, "userdata", True],
    ),
    "inside plain JSON an error is its text": (
        "return require('json').encode({ e = errors.new('m') })",
        '{"e":"m"}',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_error_objects(name: str) -> None:
    """Each case names its claim."""
    code, expected = CASES[name]
    assert result_of(code) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('error("x")', {"kind": "Internal", "message": "flow.lua:1: x", "retryable": None}),
        ('error("x", 0)', {"kind": "Internal", "message": "x", "retryable": None}),
        ("local t = nil; t.x = 1", {"kind": "Internal"}),
        (
            'error({ code = 7, message = "told" })',
            {
                "kind": "Internal",
                "message": "told",
                "details": {"value": {"code": 7, "message": "told"}},
            },
        ),
        ("error()", {"kind": "Internal"}),
        ("error({ f = print })", {"message": "error object is a table value"}),
        (
            'error(errors.new({ message = "m", kind = "NotFound", retryable = false }))',
            {"kind": "NotFound", "message": "m", "retryable": False},
        ),
    ],
)
def test_what_is_raised_becomes_the_failure(body: str, expected: dict[str, Any]) -> None:
    """With the stack of the coroutine that raised it."""
    failure = Play(f"return function() {body} end").failure
    assert {key: failure.get(key) for key in expected} == expected


def test_error_objects_survive_arguments_results_and_messages() -> None:
    """The tagged form, both ways."""
    tagged = {
        "$lf": "error",
        "v": {"kind": "Timeout", "message": "m", "retryable": False, "details": {"a": 1}},
    }
    play = Play(
        """return function(e)
        return { e = e, kind = e:kind(), d = e:details().a }
    end""",
        tagged,
    )
    assert play.result == {"e": tagged, "kind": "Timeout", "d": 1}
