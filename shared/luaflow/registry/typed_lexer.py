"""Lua text as tokens that know their place, for the parser of typed sources."""

from __future__ import annotations

import re
from typing import Final

from luaflow.registry.lua_tokens import KEYWORDS

NAME: Final = "<name>"
STRING: Final = "<string>"
NUMBER: Final = "<number>"
EOF: Final = "<eof>"

# Possessive throughout: no text makes it look twice at a character.
_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s++|--(?!\[=*+\[)[^\n\r]*+)
    | (?P<long>(?:--)?\[(?P<level>=*+)\[)
    | (?P<name>[A-Za-z_]\w*+)
    | (?P<op>\.\.\.|\.\.(?!\.)|\.(?![.\d])|::|->|==|~=|<=|>=|<<|>>|//
        |[-+*/%^\#&~|<>=(){}\[\];:,?!@])
    | (?P<string>"(?:[^"\\\n\r]++|\\(?:z\s*+|\r\n|\n\r|.))*+"
        |'(?:[^'\\\n\r]++|\\(?:z\s*+|\r\n|\n\r|.))*+')
    | (?P<number>\.?\d(?:[eEpP][-+]?|[\w.])*+)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_NUMBER: Final = re.compile(
    r"(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?"
    r"|0[xX](?:[\da-fA-F]++(?:\.[\da-fA-F]*+)?|\.[\da-fA-F]++)(?:[pP][-+]?\d++)?",
    re.ASCII,
)


class LuaSyntax(Exception):
    """Text that is no Lua, typed or plain: what is wrong, where (from 0), and the remedy."""

    def __init__(self, what: str, offset: int, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset
        self.remedy = remedy


class Tokens:
    """The tokens of a text, comments left out, as three lists of one length.

    A kind is the word itself for keywords and operators, else NAME, STRING, NUMBER or EOF. EOF
    ends the lists, three times, so that looking ahead needs no check; it stands behind the last
    token, where the mistake is.
    """

    def __init__(self, text: str) -> None:
        """Read a text; LuaSyntax for what can be no token."""
        self.kinds: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        # The first line may tell Unix which program runs the file.
        at = len(text.partition("\n")[0]) if text.startswith("#") else 0
        while at < len(text):
            at = self._read(text, at)
        end = self.ends[-1] if self.ends else at
        for _ in range(3):
            self._add(EOF, end, end)

    def _add(self, kind: str, start: int, end: int) -> None:
        self.kinds.append(kind)
        self.starts.append(start)
        self.ends.append(end)

    def _read(self, text: str, at: int) -> int:
        """Read the token, space or comment at `at`; return where it ends."""
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        group, end = match.lastgroup, match.end()
        if group == "name":
            word = match.group()
            self._add(word if word in KEYWORDS else NAME, at, end)
        elif group == "op":
            self._add(match.group(), at, end)
        elif group == "string":
            self._add(STRING, at, end)
        elif group == "number":
            if not _NUMBER.fullmatch(text, at, end):
                raise LuaSyntax(f"{match.group()[:40]} is no number", at, _number_remedy(match[0]))
            self._add(NUMBER, at, end)
        elif group == "long":
            closing = f"]{match['level']}]"
            found = text.find(closing, end)
            if found < 0:
                what = "comment" if text.startswith("--", at) else "string"
                raise LuaSyntax(f"the long {what} has no end", at, f"close it with {closing}")
            end = found + len(closing)
            if not text.startswith("--", at):
                self._add(STRING, at, end)
        return end


def _number_remedy(piece: str) -> str:
    if "_" in piece:
        return f"write it without '_': {piece.replace('_', '')[:40]}"
    if ".." in piece:
        return "put a space before '..'"
    return "write digits, at most one point, and an exponent such as e10"


def _unreadable(text: str, at: int) -> LuaSyntax:
    character = text[at]
    if character in "\"'":
        return LuaSyntax(
            "the string has no end in its line", at, f"close it with {character}, or use [[ ]]"
        )
    if character == "`":
        return LuaSyntax(
            "Lua has no strings in backticks", at, 'join the parts: "a " .. tostring(b), or "%s"'
        )
    return LuaSyntax(f"{character!r} has no meaning here", at, "remove it")
