"""string.pack and its kin, the same bytes on every machine; and math.frexp and math.ldexp."""

from __future__ import annotations

import math
import struct

import pytest
from tests.lua.support_sandbox import Sandbox


def lines(code: str) -> list[str]:
    """What the code returns, as text."""
    outcome = Sandbox().run(code)
    assert outcome.status == "done", outcome.detail
    return outcome.lines


SIZES = {
    "i": 4, "l": 8, "j": 8, "T": 8, "h": 2, "b": 1, "d": 8, "f": 4, "n": 8, "i3": 3, "c10": 10,
    "!i1i8": 16, "=i": 4, "<I2 >I2": 4,
}  # fmt: skip


@pytest.mark.parametrize(("layout", "size"), SIZES.items())
def test_sizes_are_those_of_64_bits(layout: str, size: int) -> None:
    """Whatever machine it is."""
    assert lines(f"return string.packsize('{layout}')") == [str(size)]


def test_values_come_back() -> None:
    """Each kind of them, and where the next one begins."""
    code = """local data = string.pack('>I4 s z d i1', 258, 'ab', 'c', 1.5, -3)
    return #data, string.unpack('>I4 s z d i1', data)"""
    assert lines(code) == ["25", "258", "ab", "c", "1.5", "-3", "26"]
    assert lines("return string.pack('i', 1):byte(1, -1)") == ["1", "0", "0", "0"]
    assert lines("return string.pack('=i2', 1):byte(1, -1)") == ["1", "0"]
    assert lines("return string.unpack('B', '\\1\\2\\3', -1)") == ["3", "4"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("string.pack('c99999999', 'x')", "string.pack: the result would be longer than"),
        ("string.pack(('c9999999'):rep(9), 1)", "string.pack: the result would be longer than"),
        ("string.pack(('b'):rep(1001))", "the format is longer than 1000 bytes"),
        ("string.pack('i1', 'x')", "bad argument #2 to 'pack' (number expected, got string)"),
        ("string.unpack('i8', 'x')", "bad argument #2 to 'unpack' (data string too short)"),
        ("string.pack({})", "bad argument #1 to 'pack' (string expected, got table)"),
    ],
)
def test_what_cannot_be_is_refused(code: str, why: str) -> None:
    """In the words of Lua, or with the bound that was met."""
    outcome = Sandbox().run(code)
    assert outcome.status == "error"
    assert why in outcome.detail


NUMBERS = [8.0, -0.75, 1e300, 5e-324, 2.2250738585072014e-308, 1e-310, 0.1, 3.0]


@pytest.mark.parametrize("x", NUMBERS)
def test_frexp_is_that_of_python(x: float) -> None:
    """And ldexp is its inverse."""
    m, e = math.frexp(x)
    code = f"local m, e = math.frexp({x!r}) return m == {m!r}, e, math.ldexp(m, e) == {x!r}"
    assert lines(code) == ["true", str(e), "true"]


@pytest.mark.parametrize(
    ("m", "e"), [(0.5, 4), (1.0, -1074), (1.9, -1074), (1e308, -2098), (0.3, 1024), (-7.0, -1075)]
)
def test_ldexp_is_that_of_python(m: float, e: int) -> None:
    """Down to the least numbers."""
    expected = struct.pack("<d", math.ldexp(m, e))
    packed = ", ".join(str(byte) for byte in expected)
    code = f"return string.pack('d', math.ldexp({m!r}, {e})) == string.char({packed})"
    assert lines(code) == ["true"]


def test_ends_of_their_range() -> None:
    """What is too large is infinite; what has no parts stays."""
    code = """return math.ldexp(1, 5000) == math.huge, math.ldexp(1, -5000) == 0,
    math.frexp(math.huge) == math.huge, select(2, math.frexp(0)), #table.create(5, 2)"""
    assert lines(code) == ["true", "true", "true", "0", "0"]
