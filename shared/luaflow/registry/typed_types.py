"""The types of typed Lua: where one begins and ends, so that it can be blanked out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from luaflow.registry.typed_lexer import EOF, NAME, NUMBER, STRING, LuaSyntax, Tokens

MEND: Final = "mend the syntax here"
LEVELS: Final = 150
"""How deep blocks, brackets and types may nest; Lua itself has such a limit (200)."""
_ATTRIBUTES: Final = ("const", "close")
_MODIFIERS: Final = ("read", "write", "readonly")
_TYPE_STARTS: Final = frozenset({NAME, STRING, NUMBER, "nil", "true", "false", "{", "("})


class Cursor:
    """A place in the tokens of a text, and what is to be erased before it."""

    def __init__(self, text: str) -> None:
        """Stand on the first token. LuaSyntax for what can be no token."""
        self.text = text
        tokens = Tokens(text)
        self.kinds, self.starts, self.ends = tokens.kinds, tokens.starts, tokens.ends
        self.at = 0
        self.kind = self.kinds[0]
        self.erased: list[tuple[int, int]] = []
        self._split: list[tuple[int, str]] = []
        self._level = 0

    def advance(self) -> None:
        """Go to the next token."""
        self.at += 1
        self.kind = self.kinds[self.at]

    def take(self, kind: str) -> bool:
        """Go on when the token is of that kind; say whether it was."""
        if self.kind != kind:
            return False
        self.advance()
        return True

    def expect(self, kind: str, where: str = "") -> None:
        """Go on behind a token that must be here."""
        if self.kind != kind:
            raise self.wrong(f"expected {_quoted(kind)}{where}, found {self.found()}")
        self.advance()

    def close(self, kind: str, opened: int) -> None:
        """Go on behind the token that closes what token number `opened` opened."""
        if self.kind == kind:
            self.advance()
            return
        opener, line = self.word(opened), self.line(self.starts[opened])
        raise self.wrong(
            f"expected '{kind}' (for '{opener}' in line {line}), found {self.found()}",
            f"close what '{opener}' opens, or mend what stands before",
        )

    def wrong(self, what: str, remedy: str = MEND, at: int | None = None) -> LuaSyntax:
        """The error at a token, by default at the current one."""
        return LuaSyntax(what, self.starts[self.at if at is None else at], remedy)

    def found(self) -> str:
        """The current token, as an error names it."""
        if self.kind == EOF:
            return "the end of the file"
        word = self.word()
        return f"'{word if len(word) <= 30 else word[:29] + '…'}'"

    def word(self, at: int | None = None) -> str:
        """The text of a token, by default of the current one."""
        at = self.at if at is None else at
        return self.text[self.starts[at] : self.ends[at]]

    def line(self, offset: int) -> int:
        """The line of an offset, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def same_line(self, at: int) -> bool:
        """Whether token number `at` stands in the line of the one before it."""
        return at > 0 and "\n" not in self.text[self.ends[at - 1] : self.starts[at]]

    def erase_from(self, first: int) -> None:
        """Erase from token number `first` to the one before the current token."""
        self.erased.append((self.starts[first], self.ends[self.at - 1]))

    @contextmanager
    def deeper(self, levels: int = 1) -> Iterator[None]:
        """Some levels down; LuaSyntax when that is too deep."""
        self._level += levels
        if self._level > LEVELS:
            raise self.wrong("the code nests too deep here", "move a part into a function")
        yield
        self._level -= levels

    def attempt(self, parse: Callable[[], None]) -> bool:
        """Parse something that may not be there: on LuaSyntax all is as it was before."""
        at, split, level, erased = self.at, len(self._split), self._level, len(self.erased)
        try:
            parse()
        except LuaSyntax:
            for index, kind in reversed(self._split[split:]):
                self.kinds[index] = kind
                self.starts[index] -= 1
            del self._split[split:], self.erased[erased:]
            self.at, self.kind, self._level = at, self.kinds[at], level
            return False
        return True

    def split(self) -> None:
        """Take the first character off an operator such as `>>`, and stand on the rest."""
        self._split.append((self.at, self.kind))
        self.kinds[self.at] = self.kind = self.kind[1:]
        self.starts[self.at] += 1


class TypeParser(Cursor):
    """Steps over types. Each method begins on the first token and ends behind the last.

    `casting` says that the type is that of a cast: an operator may follow.
    """

    casting = False

    def expression(self) -> None:
        """Step over an expression, for `typeof(x)` and `@min(0)`."""
        raise NotImplementedError

    def type(self) -> None:
        """Step over `A`, `A | B & C`, `A?`, `{...}`, `(...) -> R` and what they are made of."""
        with self.deeper(2):
            while self.kind in ("|", "&"):
                self.advance()
            self._member()
            while self.kind in ("|", "&"):
                self.advance()
                self._member()

    def starts_type(self, at: int) -> bool:
        """Whether token number `at` can begin a type."""
        negative = self.kinds[at] == "-" and self.kinds[at + 1] == NUMBER
        return negative or self.kinds[at] in _TYPE_STARTS

    def _member(self) -> None:
        self._plain()
        while True:
            if self.kind == "?" or (self.kind == "..." and self.same_line(self.at)):
                self.advance()
            elif self.kind == "[" and self.kinds[self.at + 1] == "]":
                self.advance()
                self.advance()
            elif self.kind == "@":
                self._validator()
            else:
                return

    def _plain(self) -> None:
        kind = self.kind
        if kind == NAME:
            self._named()
        elif kind in (STRING, NUMBER, "nil", "true", "false"):
            self.advance()
        elif kind == "-" and self.kinds[self.at + 1] == NUMBER:
            self.advance()
            self.advance()
        elif kind == "{":
            self._record()
        elif kind == "<":
            self.generics()
            self._function_type()
        elif kind == "(":
            self._function_type()
        elif kind == "...":
            self.advance()
            if self.starts_type(self.at) and self.same_line(self.at):
                self._member()
        elif kind == "function":
            self.advance()
            self._old_function()
        else:
            raise self.wrong(f"expected a type, found {self.found()}")

    def _named(self) -> None:
        word = self.word()
        self.advance()
        if word == "typeof" and self.kind == "(":
            opened = self.at
            self.advance()
            self.expression()
            self.close(")", opened)
            return
        if word == "fun" and self.kind == "(":
            self._old_function()
            return
        while self.kind == "." and self.kinds[self.at + 1] == NAME:
            self.advance()
            self.advance()
        # In `x as T < y` it is a comparison.
        apart = self.casting and self.ends[self.at - 1] < self.starts[self.at]
        if self.kind == "<" and not apart and not self._attribute():
            self.attempt(self._arguments)

    def _attribute(self) -> bool:
        """Whether `<const>` or `<close>` of a local follows its type."""
        closed = self.kinds[self.at + 2].startswith(">")
        return closed and self.word(self.at + 1) in _ATTRIBUTES

    def _arguments(self) -> None:
        self.advance()
        self._list(self.type)
        self._angle()

    def _angle(self) -> None:
        """Step over one `>`, also where it is written `>>` or `>=`."""
        if self.kind in (">>", ">="):
            self.split()
        else:
            self.expect(">")

    def generics(self) -> None:
        """Step over `<T, U: Base, V = Default, W...>` of a declaration."""
        self.expect("<")
        self._list(self._generic)
        self._angle()

    def _generic(self) -> None:
        self.expect(NAME)
        self.take("...")
        if self.take(":"):
            self.type()
        if self.take("="):
            self.type()

    def _list(self, item: Callable[[], None]) -> None:
        item()
        while self.take(","):
            item()

    def _function_type(self) -> None:
        """Step over `(a: A, ...B) -> R`, or over a type or several in parentheses."""
        opened = self.at
        self.expect("(")
        if self.kind != ")":
            self._list(self._parameter)
        self.close(")", opened)
        if self.take("->"):
            self.type()

    def _old_function(self) -> None:
        """Step over what follows `fun`: `(a: A): R`."""
        if self.kind == "(":
            self._function_type()
        if self.take(":"):
            self.type()

    def _parameter(self) -> None:
        if self.kind in (NAME, "..."):
            after = self.at + 1 + (self.kinds[self.at + 1] == "?")
            if self.kinds[after] == ":":
                while self.at <= after:
                    self.advance()
        self.type()

    def _record(self) -> None:
        opened = self.at
        self.advance()
        while self.kind != "}":
            self._field()
            if not (self.take(",") or self.take(";")):
                break
        self.close("}", opened)

    def _field(self) -> None:
        modified = self.kind == NAME and self.word() in _MODIFIERS
        if modified and self.kinds[self.at + 1] in (NAME, "["):
            self.advance()
        if self.kind == "[":
            opened = self.at
            self.advance()
            self.type()
            self.close("]", opened)
            self.take("?")
            self.expect(":", " and the type of the values")
            self.type()
        elif self.kind == "..." and self.kinds[self.at + 1] in (",", ";", "}"):
            self.advance()
        elif self.kind == NAME and self.kinds[self.at + 1] == "(" and not self._calls_typeof():
            self.advance()
            self._old_function()
        else:
            self._parameter()

    def _calls_typeof(self) -> bool:
        return self.word() in ("typeof", "fun")

    def _validator(self) -> None:
        """Step over `@min(0)`."""
        self.advance()
        self.expect(NAME)
        if self.kind == "(":
            opened = self.at
            self.advance()
            if self.kind != ")":
                self._list(self.expression)
            self.close(")", opened)


def _quoted(kind: str) -> str:
    return {NAME: "a name", STRING: "a string", NUMBER: "a number"}.get(kind, f"'{kind}'")
