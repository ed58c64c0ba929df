"""yaml: plain values both ways, bounds against hostile texts, recorded in workflows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.modules.support_modules import in_both_contexts, play

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.lua.services import yamltext

MODULES = ("yaml",)

CASES: dict[str, tuple[str, Any]] = {
    "encoding": (
        """return yaml.encode({ name = 'test', port = 8080, debug = true, list = { 1, 'x' },
            f = 1.5 })""",
        "debug: true\nf: 1.5\nlist:\n    - 1\n    - x\nname: test\nport: 8080\n",
    ),
    "lists, nesting, empty tables": (
        "return { yaml.encode({ 'apple', 'banana' }), yaml.encode({ a = { b = { c = {} } } }) }",
        ["- apple\n- banana\n", "a:\n    b:\n        c: []\n"],
    ),
    "the order of fields": (
        """local entry = { zebra = 1, alpha = 2, name = "test", kind = "demo", sub = { z = 1,
            name = 2 } }
        return { yaml.encode(entry, { field_order = { "name", "kind" }, sort_unordered = true }),
            yaml.encode({ b = 1, a = 2 }, { sort_unordered = true }) }""",
        [
            "name: test\nkind: demo\nalpha: 2\nsub:\n    name: 2\n    z: 1\nzebra: 1\n",
            "a: 2\nb: 1\n",
        ],
    ),
    "texts that look like something else are quoted": (
        "return yaml.encode({ 'true', '12', '', 'a: b', 'null' })",
        '- "true"\n- "12"\n- ""\n- \'a: b\'\n- "null"\n',
    ),
    "lines are lines, and words of YAML 1.1 are quoted": (
        "return yaml.encode({ 'a\\nb\\n', 'yes', 'Off', 'n', '12:30', 'not', 'one\\ntwo' })",
        '- |\n    a\n    b\n- "yes"\n- "Off"\n- "n"\n- "12:30"\n- not\n- |-\n    one\n    two\n',
    ),
    "decoding": (
        r"""local v = yaml.decode([[
name: test
count: 42
ratio: 3.14
on: true
tags:
  - lua
  - 'x'
]])
        return { v.name, v.count, math.type(v.count), v.ratio, v.on, v.tags[1], v.tags[2] }""",
        ["test", 42, "integer", 3.14, True, "lua", "x"],
    ),
    "scalars": (
        r"""return yaml.decode(
            "[yes, 2020-01-01, 0x10, 0o17, -5, 1e3, .5, 'null', !!str 12, 012, 1_000]")""",
        ["yes", "2020-01-01", 16, 15, -5, 1000.0, 0.5, "null", "12", 10, 1000],
    ),
    "numbers that are no numbers": (
        r"""local v = yaml.decode("[.inf, -.inf, .nan, ~]")
        return { v[1], v[2], v[3] ~= v[3], v[4] == nil }""",
        [float("inf"), float("-inf"), True, True],
    ),
    "keys, aliases, merging, documents": (
        r"""local v = yaml.decode([[
base: &b {x: 1, y: 2}
mine:
  <<: *b
  y: 3
1: one
---
other: 1
]])
        return { v.mine.x, v.mine.y, v[1], v.other == nil, v.base.y }""",
        [1, 3, "one", True, 2],
    ),
    "one scalar is a document": ("return { yaml.decode('5'), yaml.decode('~') == nil }", [5, True]),
    "what is no argument is Invalid": (
        """local function kind(f, ...) return select(2, f(...)):kind() end
        return { kind(yaml.encode, 5), kind(yaml.encode, nil), kind(yaml.decode, ""),
            kind(yaml.decode, 5), kind(yaml.encode, {}, 5), kind(yaml.encode, {}, { field_order =
                1 }),
            kind(yaml.encode, {}, { field_order = { 1 } }) }""",
        ["Invalid"] * 7,
    ),
    "what is no YAML is Internal": (
        r"""local out = {}
        for i, text in ipairs({ "a: [", "a: b: c", "*nobody", "{a: 1, a: 2}", "[[]: 1]", "\1",
            "\xff" }) do
            local v, err = yaml.decode(text)
            out[i] = v == nil and err:kind()
        end
        out[8] = select(2, yaml.encode({ print })):kind()
        return out""",
        ["Internal"] * 8,
    ),
    "bytes, errors and times": (
        """return { yaml.encode({ errors.new("m") }), yaml.decode(yaml.encode({ a = "é" })).a }""",
        ["- m\n", "é"],
    ),
}


test_in_workflows, test_in_functions = in_both_contexts(CASES, MODULES)


HOSTILE = {
    "a bomb of aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        f"{c}: &{c} [{','.join(f'*{p}' for _ in range(9))}]\n".encode()
        for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "an alias to itself": b"&a [*a]",
    "too deep": b"[" * 100 + b"]" * 100,
    "too many": b"[" + b"1," * 11_000 + b"]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused(name: str) -> None:
    """Before they cost memory."""
    refused = yamltext.decode(HOSTILE[name])
    assert isinstance(refused, Failure), str(refused)[:100]
    assert refused.kind == "Internal"


def test_large_texts_are_refused() -> None:
    """Bytes are bounded, in both directions."""
    for refused in (yamltext.decode(b" " * 300_000), yamltext.encode(b" " * 300_000, None)):
        assert isinstance(refused, Failure)
        assert (refused.kind, "limit is 262144" in refused.message) == ("Invalid", True)


def test_a_workflow_records_what_the_library_says() -> None:
    """Replay takes it from the history."""
    body = "return { yaml.encode({ 1 }), yaml.decode('x') }"
    told = play(body, modules=MODULES)
    assert [(c.name, c.data) for c in told.commands] == [
        (b"yaml.encode", b'"- 1\\n"'),
        (b"yaml.decode", b'"x"'),
    ]
    replayed = play(
        body, modules=MODULES, services={"marker": lambda name, *_: (f"old {name[5:]}",)}
    )
    assert replayed.result == ["old b'encode'", "old b'decode'"]


KEYS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6
)
PLAIN = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=10),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, min_size=1, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(PLAIN, max_size=4), st.dictionaries(KEYS, PLAIN, min_size=1, max_size=4)))
def test_what_is_written_is_read_again(value: Any) -> None:
    """Any plain value comes back as it was."""
    text = yamltext.encode(values.dumps(value), None)
    assert isinstance(text, str)
    assert values.decode(yamltext.decode(text.encode())) == value
