"""Random Lua text, plain or typed, made from the grammar; of typed text what erasing leaves."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

NAMES = ("a", "b", "xs", "as", "type", "export", "continue", "self", "_G")
BINARY = ("+", "-", "..", "//", "==", "~=", "<", ">=", "<<", ">>", "&", "~", "and", "or", "^")
ATOMS = ("1", "0x1p4", ".5", "nil", "true", "'s: T'", '"\\"x\\z \n y"', "[[a as b]]", "{}", "#xs")
TYPES = ("T", "a.B", "number", "nil", "'lit'", "-1", "T[]", "{T}", "typeof(a(1))", "any")
SPACES = (" ", " ", " ", "\n", "  ", " -- c: T\n", " --[[ x ]] ")


class Writer:
    """Writes text into `pieces`, each with whether it is to be erased."""

    def __init__(self, seed: int, *, typed: bool) -> None:
        self.random = random.Random(seed)
        self.typed = typed
        self.pieces: list[tuple[str, bool]] = []
        self.depth = 0

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(text for text, _ in self.pieces)

    @property
    def left(self) -> str:
        """The text as erasing shall leave it."""
        return "".join(
            re.sub(r"[^\n]", " ", text) if erased else text for text, erased in self.pieces
        )

    def write(self, *words: str, erased: bool = False) -> None:
        """Write words, each with some space behind it."""
        for word in words:
            self.pieces.append((word, erased))
            self.pieces.append((self.random.choice(SPACES), False))

    def chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def name(self) -> None:
        self.write(self.random.choice(NAMES))

    def several(self, what: Callable[[], None], most: int = 3) -> None:
        for number in range(self.random.randint(1, most)):
            if number:
                self.write(",")
            what()

    # Types.

    def type_text(self, depth: int = 0) -> str:
        inner = depth + 1
        kinds = 8 if depth < 3 else 2
        one, two = (self.type_text(inner) if kinds > 2 else "T" for _ in range(2))
        match self.random.randrange(kinds):
            case 0 | 1:
                return self.random.choice(TYPES)
            case 2:
                return f"{one} | {two}?"
            case 3:
                return f"Map<{one}, Map<{two}, A>>"
            case 4:
                return f"(a: {one}, b?: {two}, ...any) -> (R, err?)"
            case 5:
                return "{ k: " + one + ",\n [string]: " + two + "; f?: T }"
            case 6:
                return f"({one}) & fun(x: {two}): R"
            case _:
                return f"{{{one} @min(0)}}"

    def annotation(self, mark: str = ":") -> None:
        if self.typed and self.chance(2):
            if self.pieces and self.pieces[-1][0] == "\n":
                self.pieces.pop()
                self.pieces.append((" ", False))
            self.erase(f"{mark} {self.type_text()}")

    def erase(self, text: str) -> None:
        """Text to be erased, on the line of what stands before it."""
        if "\n" in self.pieces[-1][0]:
            self.pieces[-1] = (" ", False)
        self.write(text, erased=True)

    # Expressions.

    def expression(self) -> None:
        self.depth += 1
        for number in range(self.random.choice((1, 1, 2, 3))):
            if number:
                # After a type, "&" and "|" go on with it.
                follows = [one for one in BINARY if one != "&" or not self.pieces[-2][1]]
                self.write(self.random.choice(follows))
            if self.chance(5):
                self.write(self.random.choice(("not", "-", "#", "~")))
            self.simple()
            if self.typed and self.chance(4):
                self.erase(self.random.choice(("as", "::")) + " " + self.type_text(2))
        self.depth -= 1

    def simple(self) -> None:
        kind = self.random.randrange(6 if self.depth < 4 else 2)
        if kind == 0:
            self.write(self.random.choice(ATOMS))
        elif kind == 1:
            self.name()
        elif kind == 2:
            self.suffixed()
        elif kind == 3:
            self.table()
        elif kind == 4:
            self.write("function")
            self.function()
        else:
            self.write("(")
            self.expression()
            self.write(")")

    def suffixed(self) -> None:
        """A call: what can stand in an expression and alone."""
        self.name()
        for _ in range(self.random.randrange(3)):
            if self.typed and self.chance(4):
                self.erase("!")
            if self.chance(2):
                self.write(".")
                self.name()
            else:
                self.write("[")
                self.expression()
                self.write("]")
        if self.chance(3):
            self.write(":")
            self.name()
        self.arguments()

    def arguments(self) -> None:
        kind = self.random.randrange(5)
        if kind == 0:
            self.write("'text'")
        elif kind == 1:
            self.table()
        elif kind == 2:
            self.write("(", ")")
        else:
            self.write("(")
            self.several(self.expression)
            self.write(")")

    def table(self) -> None:
        self.write("{")
        for _ in range(self.random.randrange(4) if self.depth < 4 else 0):
            kind = self.random.randrange(3)
            if kind == 0:
                self.name()
                self.write("=")
            elif kind == 1:
                self.write("[")
                self.expression()
                self.write("]", "=")
            self.expression()
            self.write(self.random.choice(",;"))
        self.write("}")

    def function(self) -> None:
        if self.typed and self.chance(4):
            self.erase("<T, U: {a: V}>")
        self.write("(")
        if self.chance(2):
            self.several(self.parameter)
        self.write(")")
        self.annotation(self.random.choice((":", "->")))
        self.block()
        self.write("end")

    def parameter(self) -> None:
        self.name()
        self.annotation()

    # Statements. Each begins a line, so that no two of them read as one.

    def block(self) -> None:
        self.depth += 1
        for _ in range(self.random.randrange(4 if self.depth < 6 else 1)):
            self.pieces.append(("\n", False))
            self.statement()
        self.pieces.append(("\n", False))
        if self.chance(4):
            self.write("return")
            if self.chance(2):
                self.several(self.expression)
            self.write(";")
        self.depth -= 1

    def statement(self) -> None:
        choices = [self.call, self.local, self.assignment, self.local_function, self.named_function]
        if self.depth < 5:
            choices += [self.branch, self.loop, self.counting, self.repeating]
        if self.typed:
            choices.append(self.declaration)
        self.random.choice(choices)()
        self.write(";")

    def call(self) -> None:
        self.suffixed()

    def declaration(self) -> None:
        word = self.random.choice(("type", "export type", "local type"))
        self.write(f"{word} X = {self.type_text()}", erased=True)

    def local(self) -> None:
        self.write("local")
        self.several(self.parameter)
        if self.chance(3):
            self.write("<const>" if self.chance(2) else "<close>")
        if self.chance(2):
            self.write("=")
            self.several(self.expression)

    def assignment(self) -> None:
        self.name()
        self.write(".")
        self.name()
        self.write("=")
        self.several(self.expression)

    def local_function(self) -> None:
        self.write("local", "function")
        self.name()
        self.function()

    def named_function(self) -> None:
        self.write("function")
        self.name()
        self.write(self.random.choice(".:"))
        self.name()
        self.function()

    def branch(self) -> None:
        self.write("if")
        self.expression()
        self.write("then")
        self.block()
        if self.chance(2):
            self.write("elseif")
            self.expression()
            self.write("then")
            self.block()
        if self.chance(2):
            self.write("else")
            self.block()
        self.write("end")

    def loop(self) -> None:
        self.write("for")
        self.several(self.parameter)
        self.write("in")
        self.several(self.expression)
        self.write("do")
        self.block()
        self.write("end")

    def counting(self) -> None:
        self.write("for")
        self.parameter()
        self.write("=", "1", ",")
        self.expression()
        self.write("do")
        self.block()
        self.write("end")

    def repeating(self) -> None:
        self.write("repeat")
        self.block()
        self.write("until")
        self.expression()


def write_lua(seed: int, *, typed: bool) -> Writer:
    """A random program."""
    writer = Writer(seed, typed=typed)
    writer.block()
    return writer
