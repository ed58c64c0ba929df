"""Lua text as tokens: comments and strings understood, whatever else is wrong with it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

KEYWORDS: Final = frozenset(
    [
        "and",
        "break",
        "do",
        "else",
        "elseif",
        "end",
        "false",
        "for",
        "function",
        "goto",
        "if",
        "in",
        "local",
        "nil",
        "not",
        "or",
        "repeat",
        "return",
        "then",
        "true",
        "until",
        "while",
    ]
)

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--\[(?P<level>=*)\[.*?(?:\](?P=level)\]|\Z)|--[^\n]*)
    | (?P<long>\[(?P<eq>=*)\[.*?(?:\](?P=eq)\]|\Z))
    | (?P<string>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|`(?:\\.|[^`\\])*`?)
    | (?P<number>0[xX][0-9a-fA-F_.]+(?:[pP][-+]?\d+)?|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<op>\.\.\.|\.\.=|\.\.|::|->|//=|//|<<|>>|==|~=|<=|>=|[-+*/%^]=|.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Token(NamedTuple):
    """`kind` is "name", "keyword", "string", "number", "op" or "eof".

    The text of a string is its value, near enough to recognise an id.
    """

    kind: str
    text: str
    line: int


EOF: Final = Token("eof", "", 0)


def tokens(text: str) -> list[Token]:
    """The tokens of Lua text without comments. Never raises."""
    found: list[Token] = []
    # The first line may tell Unix which program runs the file.
    at = len(text.partition("\n")[0]) if text.startswith("#") else 0
    line = 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            break
        piece = match.group(0)
        if match.group("name"):
            found.append(Token("keyword" if piece in KEYWORDS else "name", piece, line))
        elif match.group("string"):
            found.append(Token("string", _ESCAPE.sub(r"\1", piece[1:-1]), line))
        elif match.group("long"):
            skip = 2 + len(match.group("eq"))
            found.append(Token("string", piece[skip:-skip], line))
        elif match.group("number"):
            found.append(Token("number", piece, line))
        elif match.group("op"):
            found.append(Token("op", piece, line))
        line += piece.count("\n")
        at = match.end()
    return found
