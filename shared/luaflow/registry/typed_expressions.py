"""The expressions of Lua 5.4, with casts and with what other dialects put there."""

from __future__ import annotations

from typing import Final

from luaflow.registry.typed_lexer import NAME, NUMBER, STRING
from luaflow.registry.typed_types import TypeParser

UNARY: Final = frozenset({"not", "-", "#", "~"})
BINARY: Final = frozenset(
    "+ - * / // % ^ & | ~ << >> .. < <= > >= == ~= and or".split()  # noqa: SIM905
)
_ATOMS: Final = frozenset({NUMBER, STRING, "nil", "true", "false", "..."})
_ARGUMENTS: Final = frozenset({"(", "{", STRING})


class ExpressionParser(TypeParser):
    """Steps over expressions.

    `values` are the names used as variables, each with its first offset; `semicolons` the starts of
    those erased spans behind which a parenthesis would otherwise continue the statement before.
    """

    def __init__(self, text: str) -> None:
        """Read the tokens. LuaSyntax for what can be no token."""
        super().__init__(text)
        self.values: dict[str, int] = {}
        self.semicolons: set[int] = set()

    def body(self) -> None:
        """Step over the rest of a function: parameters, statements, `end`."""
        raise NotImplementedError

    def expressions(self) -> None:
        """Step over one expression or several."""
        self.expression()
        while self.take(","):
            self.expression()

    def expression(self) -> None:
        """Step over an expression; what binds how tight makes no difference here."""
        with self.deeper():
            while True:
                while self.kind in UNARY:
                    self.advance()
                self._simple()
                if self.kind in ("::", NAME):
                    self._casts()
                if self.kind not in BINARY:
                    return
                self.advance()

    def _simple(self) -> None:
        kind = self.kind
        if kind in _ATOMS:
            self.advance()
        elif kind == "{":
            self._table()
        elif kind == "function":
            self.advance()
            self.body()
        elif kind == "if":
            raise self.wrong("Lua has no 'if' expressions", "write condition and a or b")
        else:
            self.suffixed()

    def _casts(self) -> None:
        while self._is_cast():
            first = self.at
            self.advance()
            self.casting = True
            self.type()
            self.casting = False
            self.erase_statement(first)

    def _is_cast(self) -> bool:
        after = self.at + 1
        if self.kind == "::":
            label = self.kinds[after] == NAME and self.kinds[after + 1] == "::"
            return not label and self.starts_type(after)
        if self.kind != NAME or self.word() != "as" or not self.starts_type(after):
            return False
        # as("x") is a call, and so is what begins a line and could be one.
        apart = self.ends[self.at] < self.starts[after]
        return self.kinds[after] not in _ARGUMENTS or (apart and self.same_line(self.at))

    def suffixed(self) -> str:
        """A name or parentheses with what follows; return NAME, "()", "index" or "call"."""
        last = self._primary()
        while True:
            kind = self.kind
            if kind == ".":
                self.advance()
                self.expect(NAME)
                last = "index"
            elif kind in _ARGUMENTS:
                self._call()
                last = "call"
            elif kind == "[":
                opened = self.at
                self.advance()
                self.expression()
                self.close("]", opened)
                last = "index"
            elif kind == ":":
                at = self.at
                if self.kinds[at + 1] != NAME or self.kinds[at + 2] not in _ARGUMENTS:
                    return last
                self.advance()
                self.advance()
                self._call()
                last = "call"
            elif kind == "!":
                self._assertion()
            else:
                return last

    def _primary(self) -> str:
        if self.kind == NAME:
            self.values.setdefault(self.word(), self.starts[self.at])
            self.advance()
            return NAME
        opened = self.at
        if self.take("("):
            self.expression()
            self.close(")", opened)
            return "()"
        raise self.wrong(f"expected an expression, found {self.found()}")

    def _assertion(self) -> None:
        """`x!`: says that x is not nil."""
        if (
            self.kinds[self.at + 1] in ("=", "==")
            and self.ends[self.at] == self.starts[self.at + 1]
        ):
            raise self.wrong("Lua has no '!='", "write ~=")
        self.advance()
        self.erase_from(self.at - 1)

    def _call(self) -> None:
        opened = self.at
        if self.kind == "{":
            self._table()
        elif self.take("("):
            if self.kind != ")":
                self.expressions()
            self.close(")", opened)
        else:
            self.advance()

    def _table(self) -> None:
        opened = self.at
        self.advance()
        with self.deeper():
            while self.kind != "}":
                if self.kind == "[":
                    key = self.at
                    self.advance()
                    self.expression()
                    self.close("]", key)
                    self.expect("=")
                elif self.kind == NAME and self.kinds[self.at + 1] == "=":
                    self.advance()
                    self.advance()
                self.expression()
                if not (self.take(",") or self.take(";")):
                    break
        self.close("}", opened)

    def erase_statement(self, first: int) -> None:
        """Erase from token number `first` to here, where a statement may have ended."""
        self.erase_from(first)
        if self.kind == "(":
            self.semicolons.add(self.starts[first])
