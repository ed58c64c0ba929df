"""Typed Lua sources become plain Lua: types are blanked out, every line and column stays."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from luaflow.registry.problems import Problems
from luaflow.registry.sources import Source
from luaflow.registry.typed_lexer import LuaSyntax
from luaflow.registry.typed_parser import Parser

_VISIBLE = re.compile(r"[^\r\n]")


@dataclass(frozen=True, slots=True)
class Erased:
    """Plain Lua of the same length as what was erased from.

    `types_as_values` are names of types that the code uses as variables, with the offset of the
    first such use: nothing has that name when the code runs.
    """

    text: str
    types_as_values: tuple[tuple[str, int], ...] = ()


def erase(text: str) -> Erased:
    """Blank out the types of a source; plain Lua comes back as it is.

    Raises LuaSyntax for what does not parse as Lua 5.4 with types, and for what other dialects
    have beside types.
    """
    parser = Parser(text)
    parser.run()
    if not parser.erased:
        return Erased(text)
    pieces, done = [], 0
    for start, end in parser.erased:
        blank = _VISIBLE.sub(" ", text[start:end])
        pieces += [text[done:start], ";" + blank[1:] if start in parser.semicolons else blank]
        done = end
    pieces.append(text[done:])
    values = (
        (name, parser.values[name])
        for name in parser.types
        if name in parser.values and name not in parser.declared
    )
    return Erased("".join(pieces), tuple(values))


def place_of(text: str, offset: int) -> tuple[int, int]:
    """The line and the column of an offset in a text, both from 1."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start + 1


def plain(source: Source, problems: Problems, file: Path) -> Source:
    """A source as read from `file`, without its types.

    Notes as an error what does not parse, and as a warning a type that the code uses as a value.
    """
    try:
        erased = erase(source.text)
    except LuaSyntax as error:
        line, column = place_of(source.text, error.offset)
        column += _indent(source, line, file)
        place = (source.file, source.line(line), column)
        # Several entries may share a file.
        if place not in ((known.file, known.line, known.column) for known in problems.errors):
            problems.error(error.what, *place[:2], error.remedy, column=column)
        return source
    for name, offset in erased.types_as_values:
        line, _ = place_of(source.text, offset)
        problems.warn(
            f"the type {name} is used as a value, and types are erased: it is nil here",
            source.file,
            source.line(line),
            "check the value by code of your own, or with input_schema",
        )
    return source if erased.text == source.text else replace(source, text=erased.text)


def _indent(source: Source, line: int, file: Path) -> int:
    """How far a line of Lua text inside a YAML file is indented there."""
    text = source.text.split("\n")[line - 1].rstrip()
    written = file.read_text(encoding="utf-8", errors="replace").split("\n")
    number = source.line(line) - 1
    return max(written[number].find(text), 0) if text and number < len(written) else 0
