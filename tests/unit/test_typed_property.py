"""Erasing types, tried on random programs: plain ones stay, typed ones lose just their types."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lupa import lua54
from tests.support.lua_writer import write_lua

from luaflow.registry.typed import erase, place_of
from luaflow.registry.typed_lexer import LuaSyntax

Compiler = Callable[[str], object]
SEEDS = st.integers(min_value=0, max_value=2**32)
BITS = (
    *("(", ")", "{", "}", "[", "]", "::", ":", ".", "..", "...", "=", "==", ">=", ">>", ";", ","),
    *("as", "type", "export type", "function", "end", "if", "then", "do", "local", "return", "x"),
    *("|", "&", "?", "!", "->", "@", "<const>", "'", '"', "[[", "]]", "--[[", "--", "`", "\n"),
    *("1", "\\", "#", "~", "<", ">", "\u00e4", "\0", "\r", "continue", "typeof("),
)
_LOAD = "function(s) local made, message = load(s, '=x', 't') return made and true or message end"


@pytest.fixture(scope="module")
def compiles() -> Compiler:
    """The compiler of Lua 5.4: True, or its message."""
    return cast("Compiler", lua54.LuaRuntime().eval(_LOAD))


@given(SEEDS)
@settings(max_examples=150, deadline=None)
def test_plain_programs_stay(compiles: Compiler, seed: int) -> None:
    """What is plain Lua comes back byte for byte."""
    text = write_lua(seed, typed=False).text
    assert compiles(text) is True
    assert erase(text).text == text


@given(SEEDS)
@settings(max_examples=150, deadline=None)
def test_typed_programs_lose_their_types(compiles: Compiler, seed: int) -> None:
    """Just the types become spaces, in their place, and what is left compiles."""
    program = write_lua(seed, typed=True)
    left = erase(program.text).text
    assert left == program.left
    assert compiles(left) is True


def tried(text: str) -> tuple[str, LuaSyntax | None]:
    """What is left of a text, or why it is refused; in less than a second."""
    begun = time.thread_time()
    try:
        return erase(text).text, None
    except LuaSyntax as error:
        return "", error
    finally:
        assert time.thread_time() - begun < 1


def mutated(seed: int) -> str:
    """A program with a few things in the wrong place."""
    chance = random.Random(seed)
    text = write_lua(seed, typed=chance.random() < 0.5).text[:3000]
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0:
                text = text[:at] + chance.choice(BITS) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 12) :]
            case 2:
                text = text[:at] + text[at : at + chance.randint(1, 40)] * 2 + text[at:]
            case _:
                text = f"{text[:at]} {chance.choice(BITS)} {text[at:]}"
    return text


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_broken_programs_are_told_at_once(compiles: Compiler, seed: int) -> None:
    """No text hangs it or breaks it; what Lua itself takes is never refused."""
    text = mutated(seed)
    left, error = tried(text)
    if error:
        line, column = place_of(text, error.offset)
        assert 1 <= line <= text.count("\n") + 1
        assert column >= 1
        assert error.remedy
        assert compiles(text) is not True, error.what
    else:
        assert len(left) == len(text)
        assert left.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "x" + "(" * 100_000,
        "x = " + "{" * 100_000,
        "local x: " + "A<" * 100_000,
        "local x: " + "A<B, " * 20_000,
        "x = y" + " as A<" * 20_000,
        "local x: " + "(A) -> " * 20_000,
        "local x: " + "A | " * 50_000,
        "do " * 100_000,
        "x = '" + "\\z " * 50_000,
        "x = '" + "\\z" + " " * 100_000,
        "--[" + "=" * 100_000,
        "x = [" + "=" * 100_000,
        "x = " + "1" * 100_000 + "..",
        "x = " + "not " * 100_000 + "y",
        "x = y" + "!" * 100_000,
        "x = y " + ":: T " * 50_000,
        "x = function() " * 10_000,
        "if x then " * 20_000 + "elseif y then " * 20_000,
        "x = a" + " .. a" * 100_000,
        "\n" * 500_000 + "x = = 1",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_text_costs_little(text: str) -> None:
    """A second at most, whatever it is made of."""
    left, error = tried(text)
    assert error or len(left) == len(text)
