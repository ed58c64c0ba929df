"""The definition files of the Lua API, read: what editors show, the reference says, tests run.

A file of ``shared/luaflow/lua/library`` declares a module, a class or globals in the notation of
the Lua language server. Beside its tags a comment has lines of our own::

    ---The MD5 sum of `data`, in hex.
    ---
    ---Workflows: pure.
    ---@param data string
    ---@return string? sum
    ---@return Error? err
    ---
    ---```lua
    ---hash.md5("a") --> "0cc175b9c0f1b6a831c399e269772661"
    ---hash.md5(1) --> nil, Invalid
    ---```
    function hash.md5(data) end

Each line with an arrow is a claim, and a test runs it. After the arrow stands what the expression
gives: values, ``nil, Kind`` for an error of that kind, ``raises "part of the message"``, or
``like "pattern"`` for a value whose text matches. A block runs where its function may be used, or
where the word behind ``lua`` says: ``workflow``, ``function`` or ``activity``. What only a larger
test can show names it: ``Proof: tests/protocol/test_updates.py::test_…``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from luaflow.domain.failure import KINDS
from tools.programs import ROOT

FOLDER: Final = ROOT / "shared" / "luaflow" / "lua" / "library"

IN_WORKFLOWS: Final = {
    "pure": "the same answer on every replay, no event",
    "recorded": "in the history; a replay takes it from there",
    "local": "inside the run; its order is that of the code",
    "refused": "returns an error in workflows",
    "forbidden": "the module cannot be loaded in workflows",
}
ELSEWHERE: Final = ("everywhere", "activities", "handlers", "refused", "no effect")

_DECLARED: Final = re.compile(r"function ([\w.:]+)\((.*)\) end$")
_FIELD: Final = re.compile(r"@field (\w+) (\S+)(?: `(.*?)`)?(?: (.*))?$")
_SHAPED: Final = re.compile(r"@field (\w+\??) (.+)$")
_WORKFLOWS: Final = re.compile(r"Workflows: (\w+)\.(?: Elsewhere: ([\w ]+)\.)?$")
_PROOF: Final = re.compile(r"Proof: (\S+::\S+)$")
_KIND: Final = re.compile(rf"nil, ({'|'.join(filter(None, KINDS))})$")


@dataclass(frozen=True, slots=True)
class Claim:
    """A line of an example: what stands in the code, and what it claims to give ('' for none)."""

    code: str
    gives: str = ""

    @property
    def kind(self) -> str | None:
        """The kind of the error that it claims, or None."""
        found = _KIND.match(self.gives)
        return found[1] if found else None


@dataclass(slots=True)
class Block:
    """Lines that run together, in one context ('' for every one the function has)."""

    context: str
    claims: list[Claim] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """One function, method or constant."""

    name: str
    signature: str
    text: str = ""
    workflows: str = ""
    elsewhere: str = "everywhere"
    returns: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    value: str = ""

    @property
    def constant(self) -> bool:
        """Whether it is a value, not a function."""
        return not self.signature.endswith(")")

    @property
    def can_fail(self) -> bool:
        """Whether it may return an error object."""
        return any("Error" in one.split(" ")[0] for one in self.returns[1:])


@dataclass(slots=True)
class Section:
    """A module, a class, a shape or a set of globals, and its rows."""

    name: str
    kind: str
    text: str = ""
    rows: list[Row] = field(default_factory=list)


class LibraryError(Exception):
    """A definition file that does not follow the notation; the message names file and line."""


def read_library(folder: Path = FOLDER) -> dict[str, list[Section]]:
    """Every definition file: its sections by the file's name, without suffix."""
    return {path.stem: _Reader(path).sections() for path in sorted(folder.glob("*.lua"))}


def type_of(text: str) -> str:
    """The type that a ``@return`` or ``@field`` begins with; in brackets it may hold spaces."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign in "{(<") - (sign in "})>")
        if sign == " " and not depth:
            return text[:at]
    return text


class _Reader:
    """Reads one file, comment by comment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, Section] = {}
        self.order: list[Section] = []

    def sections(self) -> list[Section]:
        comment: list[str] = []
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            if line.startswith("---"):
                comment.append(line.removeprefix("---"))
                continue
            if comment and comment[0] != "@meta":
                self._declare(comment, line, number)
            comment = []
        return self.order

    def _declare(self, comment: list[str], line: str, number: int) -> None:
        if any(one.startswith("@class ") for one in comment):
            self._open(comment, line)
        elif declared := _DECLARED.match(line):
            owner, mark, name = declared[1].rpartition(":" if ":" in declared[1] else ".")
            section = self._section(owner, number)
            full = f"{section.name}{mark}{name}" if owner else name
            section.rows.append(self._row(comment, full, f"{full}({declared[2]})", number))
        elif not any(one.startswith(("@alias ", "@type ")) for one in comment):
            raise LibraryError(f"{self.path.name}:{number}: a comment that declares nothing")

    def _open(self, comment: list[str], line: str) -> None:
        told = next(one for one in comment if one.startswith("@class ")).removeprefix("@class ")
        shape = told.startswith("(exact) ")
        name = told.removeprefix("(exact) ").split()[0].rstrip(":")
        text = "\n".join(one for one in comment if not one.startswith("@")).strip()
        held = re.match(r"(?:local )?(\w+) = \{\}", line)
        kind = "class" if name[0].isupper() or "." in name else "module"
        section = Section(name, "shape" if shape else kind, text)
        for one in comment:
            if shape and (found := _SHAPED.match(one)):
                row = Row(found[1], found[1], found[2][len(type_of(found[2])) :].strip(), "pure")
                row.returns = [type_of(found[2])]
                section.rows.append(row)
            elif one.startswith("@field ") and (found := _FIELD.match(one)):
                signature = f"{name}.{found[1]}"
                row = Row(signature, signature, found[4] or "", "pure", value=found[3] or "")
                row.returns = [found[2]]
                section.rows.append(row)
        self.order.append(section)
        self.found[held[1] if held else name] = section

    def _section(self, owner: str, number: int) -> Section:
        if owner in self.found:
            return self.found[owner]
        if owner:
            raise LibraryError(f"{self.path.name}:{number}: {owner} is declared nowhere")
        section = self.found[""] = Section("globals", "globals")
        self.order.append(section)
        return section

    def _row(self, comment: list[str], name: str, signature: str, number: int) -> Row:
        row = Row(name, signature)
        words: list[str] = []
        block: Block | None = None
        for line in comment:
            if line.startswith("```"):
                block = None if block else Block(line.removeprefix("```lua").strip())
                if block:
                    row.blocks.append(block)
            elif block:
                code, arrow, gives = line.partition(" --> ")
                block.claims.append(Claim(code, gives.strip() if arrow else ""))
            elif line.startswith("@return "):
                row.returns.append(line.removeprefix("@return "))
            elif found := _WORKFLOWS.match(line):
                row.workflows, row.elsewhere = found[1], found[2] or "everywhere"
            elif found := _PROOF.match(line):
                row.proofs.append(found[1])
            elif not line.startswith("@"):
                words.append(line)
        row.text = "\n".join(words).strip()
        if row.workflows not in IN_WORKFLOWS or row.elsewhere not in ELSEWHERE:
            raise LibraryError(f"{self.path.name}:{number}: {name} does not say 'Workflows: …'")
        return row
