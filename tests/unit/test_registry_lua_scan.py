"""The scanner sees names, calls and order through comments, strings and types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaflow.registry.lua_scan import Call, EarlyUse, scan
from luaflow.registry.lua_tokens import tokens
from luaflow.registry.typed import erase


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x = 1", ["x"]),
        ("x, y.z, w = 1, 2, 3", ["x", "w"]),
        ("a.b = 1 a[1] = 2 f(x).y = 3 a.b[c].d, q = 1, 2", ["q"]),
        ("local x x = 1", []),
        ("local x = 1, 2 y = 2", ["y"]),
        ("local a, b = 1 a, b = b, a", []),
        ("for i, v in pairs(t) do i = v end", []),
        ("for i = 1, 2 do end i = 1", ["i"]),
        ("for i = 1, f(function() for k = 1, 2 do k = 1 end end) do i = 1 end", []),
        ("local t = {x = 1, [y] = 2; z = 3}", []),
        ("local t = {f = function() x = 1 end, z = 3}", ["x"]),
        ("function f(a, b, ...) a = b end", ["f"]),
        ("function m:f() self = 1 end", []),
        ("local function f(a) end a = 1", ["a"]),
        ("do local x end x = 1", ["x"]),
        ("if a then local x elseif b then x = 1 else x = 2 end", ["x", "x"]),
        ("repeat local x x = 1 until true x = 2", ["x"]),
        ("while a do b = 1 end", ["b"]),
        ("x += 1 y ..= 'a'", ["x", "y"]),
        ("-- x = 1\n--[[ y = 1 ]] --[==[ z = ]] ]==] w = 1", ["w"]),
        ('local s = [[ x = 1 ]] .. \'y = 1\' .. "z = \\" 1"', []),
        ("function f() end local g function g() end function t.h() end", ["f"]),
        ("local function m() function f() end end", ["f"]),
        ("_G.x = 1 _G['y'], _G[z], a._G.b = 1 _G.c.d = 1", ["x", "y"]),
        ("local _G = {} _G.x = 1", []),
        ("goto done ::done:: x = 1", ["x"]),
        ("return", []),
    ],
)
def test_assigned_globals(text: str, names: list[str]) -> None:
    """Only plain names that no scope declares, and that stand left of an assignment."""
    assert [one.name for one in scan(text).assigned] == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("local x: T? = nil local y: {k: string} | Map<A, {B}> = {} x = 1", []),
        ("local f: (a: T) -> R = g", []),
        ("type X = {a: string}\nexport type Y<T> = (T) -> nil\nx = 1", ["x"]),
        ("function f(a: T, b: (x: A) -> B?): (C, D) a = 1 c = 1 end", ["f", "c"]),
        ("local x = (y :: number) + (z as Foo<Bar>) w = 1", ["w"]),
    ],
)
def test_assigned_globals_of_typed_sources(text: str, names: list[str]) -> None:
    """The scanner sees what is left of them: no type is a name."""
    assert [one.name for one in scan(erase(text).text).assigned] == names


@pytest.mark.parametrize(
    ("text", "early"),
    [
        ("local function m() f() end\nlocal function f() end", [EarlyUse("f", 1, 2)]),
        ("local function m() f() end\nlocal f = function() end", [EarlyUse("f", 1, 2)]),
        ("local f\nlocal function m() f() end\nf = function() end", []),
        ("local function f() end\nlocal function m() f() end", []),
        ("local function f() f() end", []),
        ("f()\ndo\nlocal function f() end\nend", []),
        ("do\nf()\nend\nlocal function f() end", [EarlyUse("f", 2, 4)]),
        ("t.f()\nt = {f = 1}\nlocal function f() end", []),
        ("f() f()\nlocal function f() end", [EarlyUse("f", 1, 2)]),
        ("local x = y\nlocal y = 1", []),
    ],
)
def test_functions_used_above_their_declaration(text: str, early: list[EarlyUse]) -> None:
    """A use counts when the later declaration is in a scope around it."""
    assert scan(text).early == early


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("funcs.call('a:b', 1)", [Call(("funcs", "call"), "a:b", 1, method=False)]),
        ("funcs.call 'a:b'", [Call(("funcs", "call"), "a:b", 1, method=False)]),
        (
            "local f = require('funcs') f.call('a:b')",
            [Call(("funcs", "call"), "a:b", 1, method=False)],
        ),
        ("local e = funcs.new()\ne:call('a:b')", [Call(("", "call"), "a:b", 2, method=True)]),
        (
            "funcs.new():with_options({})\n  :call('a:b')",
            [Call(("", "call"), "a:b", 2, method=True)],
        ),
        ("p.spawn('a:b', 'a:w', 1)", [Call(("p", "spawn"), "a:b", 1, method=False, second="a:w")]),
        ("p.spawn('a:b', 'a:' .. w)", [Call(("p", "spawn"), "a:b", 1, method=False)]),
        ("require('w').exec('a:b')", [Call(("w", "exec"), "a:b", 1, method=False)]),
        ("require 'w'.exec 'a:b'", [Call(("w", "exec"), "a:b", 1, method=False)]),
        ("(f 'w').exec('a:b')", [Call(("", "exec"), "a:b", 1, method=False)]),
        ("funcs.call('a:' .. name)", []),
        ("funcs.call(id)", []),
    ],
)
def test_calls_with_a_literal(text: str, calls: list[Call]) -> None:
    """The first argument must be nothing but a string."""
    assert scan(text).calls == calls


def test_requires_and_uses_of_modules() -> None:
    """require with and without parentheses; a local that holds a module counts as the module."""
    found = scan('local o = require "os"\nlocal t = o.time() + os.clock()\nrequire("time")')
    assert found.requires == [("os", 1), ("time", 3)]
    assert [(use.path, use.line) for use in found.module_uses] == [(("os", "time"), 2)]
    assert (("os", "clock"), 2) in [(use.path, use.line) for use in found.uses]


def test_lines_count_through_long_strings() -> None:
    """A token's line is where it begins."""
    assert [t.line for t in tokens("#!/bin/lua\na --[[\n\n]] b [[\n]] c")] == [2, 4, 4, 5]


LUA = st.text(alphabet="abxf=.,:;(){}[]<>-\"'`\n\\?|~#&1 ", max_size=60) | st.lists(
    st.sampled_from(
        [
            "local",
            "function",
            "end",
            "do",
            "if",
            "then",
            "else",
            "for",
            "in",
            "=",
            "(",
            ")",
            "{",
            "}",
            "[",
            "]",
            ":",
            "::",
            ",",
            ".",
            "x",
            "y",
            "'a'",
            "->",
            "?",
            "|",
            "<",
            ">",
            "return",
            "until",
            "repeat",
            "while",
            "type",
            "as",
            "--[[",
            "goto",
            "not",
            "...",
        ]
    ),
    max_size=25,
).map(" ".join)


@given(LUA)
def test_any_text_is_scanned_to_its_end(text: str) -> None:
    """Broken code never raises, hangs or loops."""
    scan(text)
