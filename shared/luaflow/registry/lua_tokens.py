"""Lua text as tokens: comments and strings understood, type annotations taken out."""

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
_EXPRESSION_ENDS: Final = frozenset({")", "]", "}", "..."})
_OPENERS: Final = {"(": ")", "{": "}", "<": ">", "[": "]"}


class Token(NamedTuple):
    """`kind` is "name", "keyword", "string", "number", "op" or "eof".

    The text of a string is its value, near enough to recognise an id.
    """

    kind: str
    text: str
    line: int


EOF: Final = Token("eof", "", 0)


def tokens(text: str) -> list[Token]:
    """The tokens of Lua text without comments and type annotations. Never raises."""
    return _without_types(_raw(text))


def _raw(text: str) -> list[Token]:
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


class _Eraser:
    """Walks over the tokens once and keeps those that are no type annotation."""

    def __init__(self, raw: list[Token]) -> None:
        self.raw = raw
        self.kept: list[Token] = []
        self.at = 0

    def peek(self, ahead: int = 0) -> Token:
        index = self.at + ahead
        return self.raw[index] if index < len(self.raw) else EOF

    def keep(self) -> None:
        self.kept.append(self.raw[self.at])
        self.at += 1

    def run(self) -> list[Token]:
        while self.at < len(self.raw):
            token = self.raw[self.at]
            if token.text == "local" and token.kind == "keyword":
                self.local()
            elif token.text == "function" and token.kind == "keyword":
                self.function()
            elif token in (("op", "::", token.line), ("name", "as", token.line)) and self.cast():
                self.at += 1
                self.skip_type()
            elif not self.type_statement():
                self.keep()
        return self.kept

    def cast(self) -> bool:
        """Whether what was kept last ends an expression on this line: then a type may follow."""
        if not self.kept or self.kept[-1].line != self.peek().line:
            return False
        last = self.kept[-1]
        if len(self.kept) > 1 and self.kept[-2].text == "::":
            return False  # the end of a label
        ends = last.kind in ("name", "string", "number") or last.text in _EXPRESSION_ENDS
        after = self.peek(1)
        starts = after.kind in ("name", "string") or after.text in ("{", "(", "nil")
        return ends and starts and self.peek(2).text != "::"

    def type_statement(self) -> bool:
        shift = 1 if self.peek().text == "export" and self.peek(1).text == "type" else 0
        word, name, after = self.peek(shift), self.peek(shift + 1), self.peek(shift + 2)
        if word != ("name", "type", word.line) or name.kind != "name" or name.line != word.line:
            return False
        if after.kind != "op" or after.text not in ("=", "<"):
            return False
        self.at += shift + 2
        if after.text == "<":
            self.skip_group()
        if self.peek().text == "=":
            self.at += 1
            self.skip_type()
        return True

    def local(self) -> None:
        self.keep()
        if self.peek().text == "function":
            return
        while self.peek().kind == "name":
            self.keep()
            if self.peek().text == "<":
                self.skip_group()
            if self.peek().text == ":":
                self.at += 1
                self.skip_type()
            if self.peek().text != ",":
                return
            self.keep()

    def function(self) -> None:
        self.keep()
        while self.peek().kind == "name" or self.peek().text in (".", ":"):
            self.keep()
        if self.peek().text == "<":
            self.skip_group()
        if self.peek().text != "(":
            return
        self.keep()
        while self.peek().kind == "name" or self.peek().text in (",", "..."):
            self.keep()
            if self.peek().text == ":":
                self.at += 1
                self.skip_type()
        if self.peek().text == ")":
            self.keep()
        if self.peek().text in (":", "->"):
            self.at += 1
            self.skip_type()

    def skip_type(self) -> None:
        """Steps over one type: names, records, function types, unions, `?`."""
        while True:
            token = self.peek()
            if token.kind == "op" and token.text in ("(", "{"):
                self.skip_group()
            elif token.kind in ("name", "string") or token.text in ("nil", "true", "false", "..."):
                self.at += 1
                while self.peek().text == "." and self.peek(1).kind == "name":
                    self.at += 2
                if self.peek().text == "<" or (token.text, self.peek().text) == ("typeof", "("):
                    self.skip_group()
                elif token.text == "...":
                    continue
            else:
                return
            while self.peek().text == "?":
                self.at += 1
            if self.peek().text not in ("|", "&", "->"):
                return
            self.at += 1

    def skip_group(self) -> None:
        """Steps over a bracketed group, whatever is inside."""
        expected: list[str] = []
        while self.at < len(self.raw):
            token = self.raw[self.at]
            self.at += 1
            if token.kind != "op":
                continue
            if token.text in _OPENERS:
                expected.append(_OPENERS[token.text])
            elif token.text == ">>" and expected[-2:] == [">", ">"]:
                del expected[-2:]
            elif expected and token.text == expected[-1]:
                expected.pop()
            if not expected:
                return


def _without_types(raw: list[Token]) -> list[Token]:
    return _Eraser(raw).run()
