"""The grammar of Lua 5.4 with types: what is a type is noted, to be blanked out.

One method a construct; each begins on the first token and ends behind the last. What other
dialects have beside types is refused, with what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from luaflow.registry.typed_expressions import ExpressionParser
from luaflow.registry.typed_lexer import EOF, NAME, LuaSyntax

_ENDS: Final = frozenset({"end", "else", "elseif", "until", EOF})
_COMPOUND: Final = frozenset({"+", "-", "*", "/", "//", "%", "^", "..", "&", "|", "<<", ">>"})
_DECLARATIONS: Final = frozenset({"record", "interface", "enum", "class"})


class Parser(ExpressionParser):
    """Parses a text; `erased` are then the spans of its types, in order.

    `types` are the names that `type` declares, with their offsets, `declared` those of variables.
    """

    def __init__(self, text: str) -> None:
        """Read the tokens. LuaSyntax for what can be no token."""
        super().__init__(text)
        self.types: dict[str, int] = {}
        self.declared: set[str] = set()
        self._statements: dict[str, Callable[[], None]] = {
            "local": self._local,
            "function": self._function,
            "if": self._if,
            "while": self._while,
            "for": self._for,
            "repeat": self._repeat,
            "do": self._do,
            "goto": self._goto,
            "break": self.advance,
            "::": self._label,
            ";": self.advance,
        }

    def run(self) -> None:
        """Parse all of it. LuaSyntax at the first thing that cannot be."""
        try:
            self._block()
        except RecursionError:
            raise self.wrong("the code nests too deep here", "divide it") from None
        if self.kind != EOF:
            raise self.wrong(f"nothing is open that {self.found()} could close", "remove it")

    # Statements.

    def _block(self) -> None:
        with self.deeper():
            while self.kind not in _ENDS:
                if self.kind == "return":
                    self._return()
                    return
                self._statements.get(self.kind, self._other)()

    def _return(self) -> None:
        self.advance()
        if self.kind not in _ENDS and self.kind != ";":
            self.expressions()
        self.take(";")
        if self.kind not in _ENDS:
            raise self.wrong(
                f"{self.found()} follows return, which ends its block",
                "remove it, or write do return end",
            )

    def _do(self) -> None:
        opened = self.at
        self.advance()
        self._block()
        self.close("end", opened)

    def _while(self) -> None:
        self.advance()
        self.expression()
        if self.kind != "do":
            raise self.wrong(f"expected 'do', found {self.found()}")
        self._do()

    def _repeat(self) -> None:
        opened = self.at
        self.advance()
        self._block()
        self.close("until", opened)
        self.expression()

    def _if(self) -> None:
        opened = self.at
        while self.kind in ("if", "elseif"):
            self.advance()
            self.expression()
            self.expect("then")
            self._block()
        if self.take("else"):
            self._block()
        self.close("end", opened)

    def _for(self) -> None:
        opened = self.at
        self.advance()
        self._variable()
        while self.take(","):
            self._variable()
        if not (self.take("=") or self.take("in")):
            raise self.wrong(f"expected '=' or 'in', found {self.found()}")
        self.expressions()
        self.expect("do")
        self._block()
        self.close("end", opened)

    def _goto(self) -> None:
        self.advance()
        self.expect(NAME)

    def _label(self) -> None:
        self.advance()
        self.expect(NAME)
        self.expect("::")

    def _local(self) -> None:
        self.advance()
        if self.kind == "function":
            self.advance()
            self._declare()
            self.body()
            return
        if self._declares_type():
            self._declaration(self.at - 1)
            return
        self._local_name()
        while self.take(","):
            self._local_name()
        if self.take("="):
            self.expressions()

    def _declares_type(self) -> bool:
        """Whether `type X =` follows `local`, in one line; else `type` is the local's name."""
        if self.kind != NAME or self.kinds[self.at + 1] != NAME or not self.same_line(self.at + 1):
            return False
        word = self.word()
        return word in _DECLARATIONS or (word == "type" and self.kinds[self.at + 2] in ("=", "<"))

    def _local_name(self) -> None:
        self._variable()
        if self.kind == "<":  # an attribute, which is Lua's own
            self.advance()
            self.expect(NAME)
            self.expect(">")
            self._annotation()

    def _variable(self) -> None:
        """A name that may have a type."""
        self._declare()
        self._annotation()

    def _declare(self) -> None:
        if self.kind == NAME:
            self.declared.add(self.word())
        self.expect(NAME)

    def _annotation(self) -> None:
        if self.kind == ":":
            first = self.at
            self.advance()
            self.type()
            self.erase_from(first)

    def _function(self) -> None:
        self.advance()
        if self.kinds[self.at + 1] not in (".", ":"):
            self._declare()
        else:
            self.expect(NAME)
        while self.take("."):
            self.expect(NAME)
        if self.take(":"):
            self.expect(NAME)
        self.body()

    def _other(self) -> None:
        """A statement that begins with no keyword: a type, a call, an assignment."""
        if self.kind == NAME:
            word, after = self.word(), self.kinds[self.at + 1]
            if after == NAME and word in ("type", "export"):
                self._declaration(self.at)
                return
            if after == NAME or (word == "export" and after in ("function", "local")):
                raise self._strange(word)
        first = self.at
        last = self.suffixed()
        if self.kind in ("=", ",", ":"):
            self._assignment(first, last)
        elif last != "call":
            raise self._no_statement(first)
        elif self.kind in _COMPOUND:
            raise self.wrong(f"{self.found()} follows a call, whose value nobody takes")

    def _strange(self, word: str) -> LuaSyntax:
        if word == "continue":
            return self._no_continue(self.at)
        if word == "export":
            return self.wrong("'export' stands before types only", "return what is exported")
        if word in _DECLARATIONS:
            return self.wrong(
                f"luaflow knows no '{word}' declarations", "write type Name = { field: Type }"
            )
        self.advance()
        return self.wrong(f"expected '=' or a call, found {self.found()}")

    def _no_statement(self, first: int) -> LuaSyntax:
        """Why what began at token `first` is no statement, though an expression."""
        if self.at == first + 1 and self.word(first) == "continue":
            return self._no_continue(first)
        if self.kind in _COMPOUND and self.kinds[self.at + 1] == "=":
            place = self.text[self.starts[first] : self.ends[self.at - 1]]
            place = place if len(place) <= 40 else "x"
            return self.wrong(
                f"Lua has no '{self.kind}='", f"write {place} = {place} {self.kind} ..."
            )
        return self.wrong(f"expected '=' or a call, found {self.found()}")

    def _no_continue(self, at: int) -> LuaSyntax:
        remedy = "write goto continue, and ::continue:: before the end of the loop"
        return self.wrong("Lua has no 'continue'", remedy, at)

    def _assignment(self, first: int, last: str) -> None:
        while True:
            if last not in (NAME, "index"):
                raise self.wrong("nothing can be assigned to this", "name a variable", first)
            if last == NAME:
                self.declared.add(self.word(first))
            self._annotation()
            if not self.take(","):
                break
            first = self.at
            last = self.suffixed()
        self.expect("=")
        self.expressions()

    def _declaration(self, first: int) -> None:
        """`type X = T`, with `export` or `local` before it (from token `first`): all is erased."""
        if self.word() == "export":
            self.advance()
        if self.word() != "type" or self.kinds[self.at + 1] != NAME:
            raise self._strange(self.word())
        self.advance()
        self.types.setdefault(self.word(), self.starts[self.at])
        self.advance()
        if self.kind == "<":
            self.generics()
        self.expect("=", " and the type")
        self.type()
        self.erase_statement(first)

    # Functions.

    def body(self) -> None:
        """Step over generics, parameters, result types, statements and `end`."""
        opened = self.at - 1
        while self.kinds[opened] != "function":
            opened -= 1
        if self.kind == "<":
            first = self.at
            self.generics()
            self.erase_from(first)
        self.expect("(")
        if self.kind != ")":
            self._parameter_names()
        self.expect(")", " after the parameters")
        if self.kind in (":", "->"):
            self._results()
        self._block()
        self.close("end", opened)

    def _parameter_names(self) -> None:
        while True:
            if self.take("..."):
                self._annotation()
                return
            self._declare()
            if self.kind == "?":
                self.advance()
                self.erase_from(self.at - 1)
            self._annotation()
            if not self.take(","):
                return

    def _results(self) -> None:
        first = self.at
        self.advance()
        self.type()
        while self.take(","):
            self.type()
        self.erase_from(first)
