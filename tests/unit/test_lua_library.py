"""The definition files say what there is, all of it, and each row has its proof."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from tools.lua_library import FOLDER, LibraryError, Row, read_library
from tools.lua_surface import Member, surface

from luaflow.lua.files import ABSENT

ROOT = Path(__file__).parents[2]

# How a class calls itself in messages -> its name in the definition files.
CLASSES = {
    "channel": "Channel",
    "error": "Error",
    "logger": "Logger",
    "payload": "Payload",
    "stream": "Stream",
    "stream.Scanner": "Scanner",
}
MODULES_AS_GLOBALS = frozenset(
    {"channel", "coroutine", "errors", "math", "os", "payload", "process", "string", "table"}
)


@cache
def rows() -> dict[str, Row]:
    """Every row by its name."""
    sections = [one for file in read_library().values() for one in file]
    found = [row for section in sections if section.kind != "shape" for row in section.rows]
    names = [row.name for row in found]
    assert len(set(names)) == len(names), {name for name in names if names.count(name) > 1}
    return {row.name: row for row in found}


def _name(member: Member) -> str:
    if member.kind == "globals":
        return member.name
    if member.kind == "module":
        return f"{member.owner}.{member.name}"
    return f"{CLASSES.get(member.owner, member.owner)}:{member.name}"


@cache
def members() -> dict[str, Member]:
    """Everything that the kernel offers, by the name its row must have."""
    found = {_name(one): one for one in surface()}
    return {
        name: one
        for name, one in found.items()
        if not (one.kind == "globals" and name in MODULES_AS_GLOBALS | {"_VERSION"})
    }


def test_every_member_has_a_row() -> None:
    """What the kernel offers and no definition file declares."""
    assert sorted(set(members()) - set(rows())) == []


def test_every_row_has_a_member() -> None:
    """What a definition file declares and the kernel does not offer."""
    assert sorted(set(rows()) - set(members()) - {"require"}) == []


def test_constants_are_what_they_say() -> None:
    """A constant's value in the definition file is its value."""
    for name, row in rows().items():
        if row.constant and row.value:
            assert members()[name].value == row.value, name


@pytest.mark.parametrize("name", sorted(name for name, row in rows().items() if not row.constant))
def test_every_row_is_proved(name: str) -> None:
    """Each function claims a value and, where it can fail, an error kind, or names a test."""
    row = rows()[name]
    claims = [claim for block in row.blocks for claim in block.claims if claim.gives]
    assert row.text, f"{name} has no description"
    if not row.proofs:
        assert any(not claim.kind for claim in claims), f"{name} has no example that shows a value"
        if row.can_fail:
            shown = any(claim.kind or ":kind()" in claim.code for claim in claims)
            assert shown, f"{name} has no example of its error"
    short = re.split(r"[.:]", name)[-1]
    for claim in claims:
        assert claim.code, name
    told = [claim.code for block in row.blocks for claim in block.claims]
    assert row.proofs or any(short in one for one in told), f"no example of {name} uses it"


def test_every_named_proof_exists() -> None:
    """A row that names a test names one that is there."""
    for name, row in rows().items():
        for proof in row.proofs:
            path, _, test = proof.partition("::")
            source = ROOT / path
            assert source.exists(), f"{name}: {proof}"
            defined = rf"def {re.escape(test)}\("
            assert re.search(defined, source.read_text()), f"{name}: there is no {proof}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---Says it.\nfunction a.b() end\n", "a is declared nowhere"),
        ("---@class a\nlocal a = {}\n\n---Says it.\nfunction a.b() end\n", "does not say"),
        ("---Says it.\nlocal x = 1\n", "declares nothing"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    """A definition file that does not follow the notation is refused, with its line."""
    (tmp_path / "one.lua").write_text("---@meta\n\n" + text)
    with pytest.raises(LibraryError, match=message):
        read_library(tmp_path)


def test_the_absent_modules_are_told() -> None:
    """absent.lua names each module that other runtimes have and luaflow has not."""
    text = (FOLDER / "absent.lua").read_text()
    assert set(re.findall(r"^(\w+) = \{\}$", text, re.MULTILINE)) == ABSENT


def test_a_shape_has_fields_and_no_members(tmp_path: Path) -> None:
    """The fields of an (exact) class are described: types with spaces, optional ones."""
    text = "---@class (exact) a.B\n---@field x? table<string, any> Says it.\nlocal B = {}\n"
    (tmp_path / "one.lua").write_text("---@meta\n\n" + text)
    (section,) = read_library(tmp_path)["one"]
    (row,) = section.rows
    assert (section.kind, section.name) == ("shape", "a.B")
    assert (row.name, row.returns, row.text) == ("x?", ["table<string, any>"], "Says it.")
