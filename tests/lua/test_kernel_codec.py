"""Values through the door: the same as luaflow.domain.values, both ways."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lua.support_kernel import Play, result_of, source
from tests.support.mutants import kernel_mutant

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.lua.vm import ActivationFault, Engine

ECHO = Engine(source("return function(v) return v end"))
JSON = Engine(
    source("""local json = require("json")
return function(text) local v, err = json.decode(text)
    if err then return { err = err:kind() } end
    return { ok = json.encode(v) } end""")
)


def echo(value: Any) -> Any:
    """What comes back when Lua returns what it was given."""
    play = Play("", orjson.Fragment(values.dumps(value)), engine=ECHO)
    assert play.last.status == "done", play.last
    return values.loads(play.last.result or b"null")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(min_size=1).filter(lambda b: not _is_utf8(b)),
    lambda inner: (
        st.lists(inner.filter(lambda v: v is not None), max_size=5)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
            | st.booleans()
            | st.integers(-50, 50)
            | st.just("$lf"),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(PLAIN)
def test_every_value_comes_back_as_python_writes_it(value: Any) -> None:
    """Bytes, floats, maps with any keys, deep tables."""
    assert orjson.dumps(values.encode(_same(echo(value)))) == orjson.dumps(
        values.encode(_same(values.loads(values.dumps(value))))
    )


def _same(value: Any) -> Any:
    """Order of keys and the sign of zero do not matter here; True and 1 do."""
    if isinstance(value, dict):
        return {k: _same(v) for k, v in sorted(value.items(), key=lambda item: repr(item[0]))}
    if isinstance(value, list):
        return [_same(v) for v in value]
    return value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 5e-324, 0.1, 3.0, -0.0])
def test_floats_stay_floats(value: float) -> None:
    """Whole ones too, and those JSON cannot say."""
    back = echo([value])[0]
    assert isinstance(back, float)
    assert back == value or (math.isnan(value) and math.isnan(back))


def test_an_empty_object_stays_one_and_an_empty_list_too() -> None:
    """Unless something was put in."""
    assert echo({"a": {}, "b": []}) == {"a": {}, "b": []}
    assert result_of("local t = ... t.a[1] = 5 return t", {"a": {}}) == {"a": [5]}


def test_failures_are_error_objects() -> None:
    """Equal on both sides."""
    failure = Failure("Conflict", "m", retryable=True, details={"n": [1, b"\xff"]})
    assert echo({"e": failure}) == {"e": failure}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("local t = {} t[3] = 3 t[2] = 2 t[1] = 1 return t", b"[1,2,3]"),
        ("return {1, nil, 3, x = 2}", b'{"$lf":"map","v":[[1,1],[3,3],["x",2]]}'),
        ("return {1, 2, x = 3}", b'{"$lf":"map","v":[[1,1],[2,2],["x",3]]}'),
        ("return {[2] = 2, [3] = 3}", b'{"$lf":"map","v":[[2,2],[3,3]]}'),
        ("return setmetatable({1, false}, {__index = {1, 2, 3}})", b"[1,false]"),
    ],
)
def test_a_list_has_all_keys_from_one_on_and_no_other(code: str, text: bytes) -> None:
    """Whatever order they came in, and where a hole is made up for by another key."""
    assert Play(f"return function() {code} end").last.result == text


def test_the_order_of_keys_is_that_of_their_bytes() -> None:
    """Stable text on every machine."""
    keys = ["zeta", "a", "é", "B", "a" * 40, "", *"0123456789"]
    out = Play("return function(t) return t end", dict.fromkeys(keys, 1)).last.result
    assert list(orjson.loads(out or b"")) == sorted(keys, key=str.encode)


@pytest.mark.parametrize(
    "code",
    [
        "local t = {} t.t = t return t",
        "return coroutine.create(print)",
        "return { [{}] = 1 }",
        "local t = {} for _ = 1, 70 do t = { t } end return t",
    ],
)
def test_what_cannot_leave_is_refused(code: str) -> None:
    """As an Invalid failure, live and in replay alike."""
    assert Play(f"return function() {code} end").failure["kind"] == "Invalid"
    assert Play(f"return function() {code} end", replaying=True).last.status == "failed"


def test_objects_of_luaflow_leave_as_text() -> None:
    """Times and durations as theirs, the rest as tostring."""
    assert result_of(
        "return { require('time').parse_duration('1s'), (process.inbox()) and 1 }"
    ) == ["1s", 1]
    assert result_of("return { require('payload').new({ 1 }) }") == [[1]]


JSON_CASES = {
    '{"a":1,"b":[2.5,true],"c":"\\u00e9\\n\\ud83d\\ude00"}': '{"a":1,"b":[2.5,true],"c":"é\\n😀"}',
    ' [ 1 , { } , [ ] , "x" ] ': '[1,{},[],"x"]',
    "1e2": "100.0",
    "9223372036854775807": "9223372036854775807",
    '"a\\/b"': '"a/b"',
    '"\\ud800"': '"\ufffd"',
    "null": "null",
}


@pytest.mark.parametrize("text", JSON_CASES)
def test_the_json_module_reads_and_writes(text: str) -> None:
    """decode then encode."""
    assert Play("", text, engine=JSON).result == {"ok": JSON_CASES[text]}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1,]",
        "[1 2]",
        '{"a" 1}',
        "01",
        "1.",
        "+1",
        "nul",
        '"\\x"',
        '"a',
        '"\n"',
        "[1]x",
        "{'a':1}",
        "--1",
        "0x10",
        "[" * 200,
    ],
)
def test_bad_json_is_internal(text: str) -> None:
    """The contract's kind for a syntax error."""
    assert Play("", text, engine=JSON).result == {"err": "Internal"}


def test_the_json_module_has_the_documented_edges() -> None:
    """nil, empty, sparse, mixed, recursive, infinite."""
    assert result_of("""
        local json = require("json")
        local loop = {} loop.l = loop
        local out = { json.encode(nil), json.encode({}), json.encode({ 1 / 0, 0 / 0 }),
            json.encode(1.0) }
        for _, bad in ipairs({ { 1, a = 2 }, { [1] = 1, [5] = 5 }, loop }) do
            local text, err = json.encode(bad)
            out[#out + 1] = text == nil and err:kind()
        end
        local _, empty = json.decode("")
        local _, number = json.decode(5)
        out[#out + 1], out[#out + 2] = empty:kind(), number:kind()
        return out""") == [
        "null",
        "[]",
        "[null,null]",
        "1.0",
        "Internal",
        "Internal",
        "Internal",
        "Invalid",
        "Invalid",
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4
            )
        ),
    )
)
def test_json_texts_of_others_survive(value: Any) -> None:
    """What orjson wrote, Lua reads and writes back the same."""
    out = Play("", orjson.dumps(value).decode(), engine=JSON).result
    assert orjson.loads(out["ok"]) == value


def test_a_refusal_names_the_first_place_in_the_order_of_pairs() -> None:
    """The same words on every machine, however the table was built."""
    words = set()
    for order in (("zz", "b", "a1"), ("a1", "zz", "b")):
        body = "local t = {} " + " ".join(f"t.{k} = {{ x = {{ print }} }}" for k in order)
        words.add(Play(f"return function() {body} return t end").failure["message"])
    assert words == {
        "the result of app:flow: at .a1.x[1]: a function cannot leave the code: send plain data"
    }


def test_channels_and_timers_show_nothing_of_their_inside() -> None:
    """They cross as the word for what they are."""
    assert result_of("return { channel.new(), require('time').timer('1s'), process.inbox() }") == [
        "channel",
        "time.Timer",
        "channel",
    ]


NO_FORM = kernel_mutant("calendar", "return T.rfc3339(t[STATE], true) end", "return nil .. 1 end")
WRITERS = {
    "an argument": 'select(2, require("funcs").call("a:b", { at = time.now() })):message()',
    "json": 'select(2, require("json").encode({ at = time.now() })):message()',
    "an attribute": "select(2, workflow.attrs({ memo = { at = time.now() } })):message()",
}


@pytest.mark.parametrize("replaying", [False, True])
@pytest.mark.parametrize("what", WRITERS)
def test_an_object_without_a_plain_form_is_a_refusal(what: str, replaying: bool) -> None:
    """Whatever goes wrong in a conversion: the value is refused, and the engine goes on."""
    code = f"""local time, workflow = require("time"), require("workflow")
    return function() print({WRITERS[what]}) return {{ time.now() }} end"""
    with NO_FORM():
        engine = Engine(source(code))
        play = Play("", engine=engine, replaying=replaying)
    assert not engine.broken
    assert "at [1]: a time.Time that has no plain form" in play.failure["message"]
    if not replaying:
        assert ".at: a time.Time that has no plain form" in play.logs[0][1]


def test_the_end_of_the_budget_is_no_refusal() -> None:
    """A conversion that runs too long ends the step."""
    endless = kernel_mutant(
        "calendar",
        "return T.rfc3339(t[STATE], true) end",
        "while true do K.guard.charge(1000) end end",
    )
    code = "return function() return { require('time').now() } end"
    with endless():
        engine = Engine(source(code), cpu_seconds=0.05)
        with pytest.raises(ActivationFault) as fault:
            Play("", engine=engine)
    assert fault.value.reason == "cpu"
