"""Payloads as MessagePack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.modules.support_modules import in_function, in_workflow

CASES: dict[str, tuple[str, Any]] = {
    "nil": ("nil", "c0"),
    "true": ("true", "c3"),
    "false": ("false", "c2"),
    "small": ("127", "7f"),
    "8 bits": ("200", "ccc8"),
    "16 bits": ("65535", "cdffff"),
    "32 bits": ("65536", "ce00010000"),
    "64 bits": ("1 << 40", "cf0000010000000000"),
    "small negative": ("-32", "e0"),
    "negative 8": ("-128", "d080"),
    "negative 16": ("-32768", "d18000"),
    "negative 32": ("-32769", "d2ffff7fff"),
    "negative 64": ("math.mininteger", "d38000000000000000"),
    "float": ("1.5", "cb3ff8000000000000"),
    "text": ("'abc'", "a3616263"),
    "longer text": ("('x'):rep(32)", "d920" + "78" * 32),
    "bytes": ("'\\xff\\0'", "c402ff00"),
    "list": ("{1, 'a'}", "9201a161"),
    "empty list": ("{}", "90"),
    "map": ("{b = 2, a = {1}}", "82a1619101a16202"),
    "sparse": ("{[2] = 1}", "810201"),
    "longer list": (
        "(function() local t = {} for i = 1, 16 do t[i] = 0 end return t end)()",
        "dc0010" + "00" * 16,
    ),
}

BODY = """local p = payload.new({0}):transcode(payload.format.MSGPACK)
local bytes = p:transcode(payload.format.BYTES)
local back = payload.new(bytes:data()):transcode(payload.format.BYTES)
    :transcode(payload.format.MSGPACK):unmarshal()
local again = payload.new(back):transcode(payload.format.MSGPACK):transcode(payload.format.BYTES)
local hex = bytes:data():gsub(".", function(c) return ("%02x"):format(c:byte()) end)
return {{ p:get_format(), hex,
    again:data() == bytes:data() }}"""


@pytest.mark.parametrize("name", CASES)
def test_in_workflows(name: str) -> None:
    """Each form has the bytes of the specification, and comes back as it was."""
    value, expected = CASES[name]
    assert in_workflow(BODY.format(value), modules=()) == ["application/msgpack", expected, True]


async def test_in_functions(tmp_path: Path) -> None:
    """The same."""
    got = await in_function(tmp_path, BODY.format("{ a = { 1, 2 } }"), modules=())
    assert got == ["application/msgpack", "81a161920102", True]


BROKEN = [
    "\\xa5ab",
    "\\xdd\\xff\\xff\\xff\\xff",
    "\\xc1",
    "\\x92\\1",
    "\\x81\\xc0\\1",
    "\\1\\1",
    "\\xcb\\0",
]


@pytest.mark.parametrize("data", BROKEN)
def test_broken_bytes_stay_text(data: str) -> None:
    """As with the other formats: what cannot be read is not changed."""
    body = f"""local p = payload.new("{data}"):transcode(payload.format.BYTES)
    return p:transcode(payload.format.MSGPACK):data() == "{data}" """
    assert in_workflow(body, modules=()) is True


def test_depth_and_functions_are_refused() -> None:
    """Nothing endless is written or read."""
    body = """local t = {} t.t = t
    local deep = payload.new(("\\x91"):rep(1000)):transcode(payload.format.BYTES)
    return { select(2, payload.new(t):transcode(payload.format.MSGPACK)):kind(),
        select(2, payload.new({ print }):transcode(payload.format.MSGPACK)):kind(),
        #deep:transcode(payload.format.MSGPACK):data() }"""
    assert in_workflow(body, modules=()) == ["Internal", "Internal", 1000]


def test_the_deepest_value_comes_back() -> None:
    """What can be written can be read."""
    body = """local t = {} for _ = 2, 64 do t = { t } end
    local bytes = payload.new(t):transcode(payload.format.MSGPACK):transcode("text/plain")
    local v = payload.new(bytes:data()):transcode("text/plain"):transcode(payload.format.MSGPACK)
    local n, at = 0, v:data() while at do n, at = n + 1, at[1] end
    return n"""
    assert in_workflow(body, modules=()) == 64


def test_an_empty_object_stays_one() -> None:
    """It is an object again in JSON."""
    body = """local p = payload.new(json.decode("{}")):transcode(payload.format.MSGPACK)
    local back = payload.new(p:transcode(payload.format.BYTES):data()):transcode("text/plain")
    return json.encode(back:transcode(payload.format.MSGPACK):data())"""
    assert in_workflow(body, modules=("json",)) == "{}"
