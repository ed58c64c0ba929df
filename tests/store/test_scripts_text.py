"""The texts of the scripts: headers, includes, size, and Lua that both 5.1 and 5.4 read alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from unittest.mock import patch

import pytest
from lupa import lua51, lua54
from tests.protocol.conftest import hand
from tests.protocol.hand import Hand
from tests.protocol.scenes import SCENES

from luaflow.store import scripts
from luaflow.store.scripts import Script, load, names

__all__ = ["hand"]

FOLDER = resources.files(scripts)
FILES = {
    f"{part}{path.name}": path.read_text(encoding="utf-8")
    for part in ("", "includes/")
    for path in (FOLDER / part).iterdir()
    if path.name.endswith(".lua")
}


@pytest.mark.parametrize("scene", SCENES)
async def test_builders_send_what_the_header_names(hand: Hand, scene: str) -> None:
    """As many KEYS and ARGV as the header says; more only where it ends in '…'."""
    hand.excused = True
    call = await SCENES[scene](hand)
    script = call.script
    for said, sent in ((script.keys, len(call.keys)), (script.args, len(call.args) + 1)):
        if said[-1].endswith("..."):
            assert sent >= len(said) - 1, script.name
        else:
            assert sent == len(said), script.name
    texts = [str(server := "server"), *call.args]
    for spec, value in zip(script.args, texts, strict=False):
        if spec.endswith(":int"):
            assert int(str(value)) == float(str(value)), f"{script.name}: {spec} is {value!r}"
    assert server == texts[0]


@pytest.fixture
def files() -> Iterator[dict[str, str]]:
    """Scripts of the test's own instead of those on disk."""
    texts: dict[str, str] = {}

    def read(path: str) -> str:
        if path not in texts:
            raise FileNotFoundError(path)
        return texts[path]

    load.cache_clear()
    with patch.object(scripts, "_read", read):
        yield texts
    load.cache_clear()


HEAD = "-- a: for tests\n-- KEYS meta run others...\n-- ARGV server id n:int rest...\n"


def test_a_missing_include_names_file_and_line(files: dict[str, str]) -> None:
    """Whoever misspells an include reads where."""
    files["a.lua"] = HEAD + "--- include nowhere\n"
    with pytest.raises(ValueError, match=r"a\.lua:4: there is no includes/nowhere\.lua"):
        load("a")


def test_a_missing_include_in_an_include_names_it(files: dict[str, str]) -> None:
    """The file named is the one that holds the line."""
    files["a.lua"] = HEAD + "--- include one\n"
    files["includes/one.lua"] = "\n--- include nowhere\n"
    with pytest.raises(ValueError, match=r"one\.lua:2: there is no includes/nowhere\.lua"):
        load("a")


def test_an_include_cycle_is_named(files: dict[str, str]) -> None:
    """A cycle is shown as the way around it."""
    files["a.lua"] = HEAD + "--- include one\n"
    files["includes/one.lua"] = "--- include two\n"
    files["includes/two.lua"] = "--- include one\n"
    with pytest.raises(ValueError, match=r"two\.lua:1: include cycle a -> one -> two -> one"):
        load("a")


def test_an_include_is_there_once(files: dict[str, str]) -> None:
    """Two includes that need the same third one get it once, before both."""
    files["a.lua"] = HEAD + "--- include one\n--- include two\n"
    files["includes/one.lua"] = "--- include base\none()"
    files["includes/two.lua"] = "--- include base\ntwo()"
    files["includes/base.lua"] = "base()"
    found = re.findall(r"^(base|one|two)\(\)$", load("a").body.decode(), re.MULTILINE)
    assert found == ["base", "one", "two"]


def test_the_server_gets_what_is_used(files: dict[str, str]) -> None:
    """No comments, and no function that only functions call which nothing calls."""
    files["a.lua"] = HEAD + "--- include one\n\nlocal text = 'a -- b'\nused(text)\n"
    files["includes/one.lua"] = "\n".join(
        (
            "-- what it is",
            *("local function used(x)", "  -- how", "  return x", "end"),
            *("local function inner()", "end"),
            *("local function outer()", "  inner()", "end"),
        )
    )
    assert load("a").body.decode().splitlines()[3:] == [
        *("local function used(x)", "  return x", "end"),
        *("local text = 'a -- b'", "used(text)"),
    ]


def test_a_missing_header_is_named(files: dict[str, str]) -> None:
    """A script without a contract does not load."""
    files["a.lua"] = "-- KEYS meta\n"
    with pytest.raises(ValueError, match=r"a\.lua: its header has no '-- ARGV' line"):
        load("a")


def test_names_are_bound(files: dict[str, str]) -> None:
    """KEYS become <name>_key, ARGV their names, numbers numbers, a last '…' an index."""
    files["a.lua"] = HEAD
    bound = load("a").body.decode().splitlines()[1]
    assert bound == (
        "local meta_key, run_key, others, server, id, n, rest = "
        "KEYS[1], KEYS[2], 3, ARGV[1], ARGV[2], tonumber(ARGV[3]), 4"
    )


@pytest.mark.parametrize("name", names())
def test_flags(name: str) -> None:
    """The server refuses to start and to signal without memory, and nothing else (design 5.9)."""
    first = load(name).body.splitlines()[0]
    refused = {"start", "start_jobs", "message", "update", "ask", "post_inbox"}
    assert first == (b"#!lua" if name in refused else b"#!lua flags=allow-oom")


@pytest.mark.parametrize("file", FILES)
def test_size(file: str) -> None:
    """A script is read at a glance: at most 100 lines a file."""
    assert len(FILES[file].splitlines()) <= 100


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("lua", [lua51, lua54], ids=["5.1", "5.4"])
def test_both_lua_read_it(lua: object, name: str) -> None:
    """Lua 5.1 (Redis, Valkey) and 5.4 (Dragonfly) accept the text."""
    body = load(name).body.split(b"\n", 1)[1]
    runtime = lua.LuaRuntime(encoding=None)  # type: ignore[attr-defined]
    check = b"local text = ... ; local f, e = (loadstring or load)(text); return e"
    assert runtime.execute(check, body) is None


FORBIDDEN = {
    r"(?<!or )\b(?<!\.)unpack\(": "unpack is table.unpack in 5.4: (unpack or table.unpack)",
    r"\bsetfenv|getfenv|loadstring|math\.pow|table\.getn|\bgoto\b": "not in both versions",
    r"redis\.call\('(KEYS|CONFIG|CLIENT|INFO|SCAN|EVAL|SELECT|FLUSH)": "forbidden by some servers",
    r"\bwhile true\b|\brepeat\b": "a loop without a bound",
    r"//|>>|<<|[^~]~[^=]": "an operator of 5.4 only",
    r"'[^'\n]*\.\.[^'\n]*_key": "a key made of data",
}


@pytest.mark.parametrize("file", FILES)
def test_portable(file: str) -> None:
    """Nothing that one of the two versions, or a managed server, would refuse."""
    code = "\n".join(line.split("--")[0] for line in FILES[file].splitlines())
    for pattern, why in FORBIDDEN.items():
        found = re.search(pattern, code)
        assert not found, f"{file}: {found.group()!r}: {why}"


LOOPS = {
    r"for _?, ?\w+ in ipairs\((list|messages|late|rcall\('XRANGE'.*'COUNT', 500\))\)",
    r"for part in string\.gmatch\(",
    r"for part, stop in string\.gmatch\(",  # ends when there is no room left
    r"for \w+ = [\w, +-]+, #(ARGV|KEYS)(, \d)? do",
    r"for \w+ = 1, results do|for _ = 1, results do",
    r"for i = rest, rest \+ carried - 1 do",
    r"for n = kept, upto - 1 do",  # at most 500
    r"for n = 1, #(ended|new) do",  # some of what the caller sent
    r"for _, m in ipairs\(r\.own or \{\}\)",  # what this call has written
    r"while i <= #ARGV do( i = activity_operation\(|$)",
    r"for n = ops, i - 1, 5 do",  # what was sent
    r"for granted = 1, 50 do",
}
"""Every loop there is: over what the caller sent, or over what was read with a bound."""


@pytest.mark.parametrize("file", FILES)
def test_loops_are_bounded(file: str) -> None:
    """A new loop is looked at: it must have a bound before it joins the list."""
    for number, line in enumerate(FILES[file].splitlines(), 1):
        code = line.split("--")[0]
        if re.search(r"\b(for|while)\b", code):
            known = any(re.search(pattern, code) for pattern in LOOPS)
            assert known, f"{file}:{number}: {code.strip()}"


def test_scripts_are_named_by_their_content() -> None:
    """Two texts never share a hash, so two versions run side by side."""
    found: list[Script] = [load(name) for name in names()]
    assert len({script.sha for script in found}) == len(found)
