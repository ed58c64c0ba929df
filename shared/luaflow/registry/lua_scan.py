"""What Lua code does, as far as reading shows it: names used, modules asked for, calls made.

A scanner over tokens with block scopes, not a parser: it takes broken code as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

from luaflow.registry.lua_tokens import EOF, Token, tokens

_BOUNDARY: Final = frozenset(
    {"then", "do", "else", "repeat", "end", "nil", "true", "false", "break", "::"}
)
_COMPOUND: Final = frozenset({"+=", "-=", "*=", "/=", "//=", "%=", "^=", "..="})
_CLOSERS: Final = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Use:
    """A name that no `local` declares, with the fields after it: ("os", "time").

    `recorded` when it stands in a function written as the argument of a side_effect.
    """

    path: tuple[str, ...]
    line: int
    scopes: tuple[int, ...] = ()
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose first argument is a string: `path` ("funcs", "call"), or ("", "call") for a
    method of something that is no name. A local bound to a module counts as the module.
    """

    path: tuple[str, ...]
    argument: str
    line: int
    method: bool
    second: str = ""
    """The second argument, where it is a literal string, too."""


@dataclass(frozen=True, slots=True)
class EarlyUse:
    """A local function used in `line`, but declared only in line `declared`."""

    name: str
    line: int
    declared: int


class Global(NamedTuple):
    """A global that is assigned, or declared as a function."""

    name: str
    line: int
    function: bool = False


@dataclass(slots=True)
class Scan:
    """The findings in one source, lines from 1."""

    uses: list[Use] = field(default_factory=list)
    module_uses: list[Use] = field(default_factory=list)
    requires: list[tuple[str, int]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    assigned: list[Global] = field(default_factory=list)
    early: list[EarlyUse] = field(default_factory=list)


@dataclass(slots=True)
class _Scope:
    number: int
    names: dict[str, str | None]
    brackets: list[str] = field(default_factory=list)
    loop_names: list[str] = field(default_factory=list)
    recorded: bool = False


def scan(text: str) -> Scan:
    """Scan Lua text; types must have been erased."""
    scanner = _Scanner(tokens(text))
    scanner.run()
    return scanner.scan


class _Scanner:
    def __init__(self, found: list[Token]) -> None:
        self.tokens = found
        self.at = 0
        self.scan = Scan()
        self._numbers = count()
        self.scopes = [_Scope(next(self._numbers), {})]
        self._early_noted: set[tuple[str, int]] = set()

    def token(self, index: int) -> Token:
        return self.tokens[index] if 0 <= index < len(self.tokens) else EOF

    def run(self) -> None:
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind == "keyword":
                self._keyword(token)
            elif token.kind == "name":
                self._name(token)
            elif token.kind == "op":
                self._operator(token)
            else:
                self.at += 1

    # Scopes.

    def _open(self, names: list[str] | None = None, *, recorded: bool = False) -> None:
        scope = _Scope(next(self._numbers), dict.fromkeys(names or []))
        scope.recorded = recorded or self.scopes[-1].recorded
        self.scopes.append(scope)

    def _close(self) -> None:
        if len(self.scopes) > 1:
            self.scopes.pop()

    def _lookup(self, name: str) -> _Scope | None:
        return next((scope for scope in reversed(self.scopes) if name in scope.names), None)

    def _declare(self, name: str, module: str | None = None) -> None:
        self.scopes[-1].names[name] = module

    # Statements.

    def _keyword(self, token: Token) -> None:
        self.at += 1
        match token.text:
            case "local":
                self._local()
            case "function":
                self._function()
            case "for":
                self._for()
            case "do":
                names, self.scopes[-1].loop_names = self.scopes[-1].loop_names, []
                self._open(names)
            case "then" | "repeat":
                self._open()
            case "else":
                self._close()
                self._open()
            case "elseif" | "end" | "until":
                self._close()
            case "goto":
                self.at += 1

    def _local(self) -> None:
        if self.token(self.at).text == "function":
            name = self.token(self.at + 1)
            self._declare(name.text)
            self._late_function(name)
            self.at += 2
            self._parameters()
            return
        names: list[Token] = []
        while self.token(self.at).kind == "name":
            names.append(self.token(self.at))
            self.at += 1
            if self.token(self.at).text != ",":
                break
            self.at += 1
        if self.token(self.at).text != "=":
            for name in names:
                self._declare(name.text)
            return
        self.at += 1
        if self.token(self.at).text == "function" and len(names) == 1:
            self._late_function(names[0])
        module = self._required(self.at) if len(names) == 1 else None
        for name in names:
            self._declare(name.text, module)

    def _required(self, at: int) -> str | None:
        """The module of `require("name")` or `require "name"` at a token, if it is one."""
        if self.token(at) != ("name", "require", self.token(at).line):
            return None
        at += 2 if self.token(at + 1).text == "(" else 1
        argument = self.token(at)
        return argument.text if argument.kind == "string" else None

    def _late_function(self, name: Token) -> None:
        """Notes earlier uses, inside the scope that now declares it, of a function's name."""
        here = self.scopes[-1].number
        for use in self.scan.uses:
            key = (name.text, use.line)
            if use.path[0] == name.text and here in use.scopes and key not in self._early_noted:
                self._early_noted.add(key)
                self.scan.early.append(EarlyUse(name.text, use.line, name.line))

    def _function(self) -> None:
        before = [self.token(self.at - back).text for back in (2, 3)]
        method, recorded = False, before == ["(", "side_effect"]
        name = self.token(self.at)
        plain = name.kind == "name" and self.token(self.at + 1).text == "("
        if plain and self._lookup(name.text) is None:
            self.scan.assigned.append(Global(name.text, name.line, function=True))
        while self.token(self.at).kind == "name" or self.token(self.at).text in {".", ":"}:
            method = method or self.token(self.at).text == ":"
            self.at += 1
        self._parameters(["self"] if method else [], recorded=recorded)

    def _parameters(self, names: list[str] | None = None, *, recorded: bool = False) -> None:
        names = names or []
        if self.token(self.at).text == "(":
            self.at += 1
            while self.token(self.at).text not in {")", ""}:
                if self.token(self.at).kind == "name":
                    names.append(self.token(self.at).text)
                self.at += 1
            self.at += 1
        self._open(names, recorded=recorded)

    def _for(self) -> None:
        names: list[str] = []
        while self.token(self.at).kind == "name":
            names.append(self.token(self.at).text)
            self.at += 1
            if self.token(self.at).text != ",":
                break
            self.at += 1
        # Not yet visible: the expressions before `do` see the outer names.
        self.scopes[-1].loop_names = names
        if self.token(self.at).text in {"=", "in"}:
            self.at += 1

    # Expressions.

    def _operator(self, token: Token) -> None:
        brackets = self.scopes[-1].brackets
        if token.text in {"(", "[", "{"}:
            brackets.append(token.text)
        elif token.text in _CLOSERS and brackets and brackets[-1] == _CLOSERS[token.text]:
            brackets.pop()
        elif (token.text == "=" or token.text in _COMPOUND) and not brackets:
            self._assignment()
        elif token.text == "::" and self.token(self.at + 2).text == "::":
            self.at += 2
        elif token.text in {".", ":"} and self.token(self.at + 1).kind == "name":
            self._field(token)
            self.at += 1
        self.at += 1

    def _assignment(self) -> None:
        """Notes the plain names left of `=` that no scope declares."""
        at = self.at - 1
        targets: list[Token] = []
        while True:
            token = self.token(at)
            if token.kind == "name" and self.token(at - 1).text not in {".", ":"}:
                targets.append(token)
            else:
                field, at = self._field_of_globals(at), self._start_of_place(at)
                if field is not None:
                    targets.append(field)
            if self.token(at - 1).text != ",":
                break
            at -= 2
        before = self.token(at - 1)
        boundary = before.kind in {"eof", "name", "string", "number"} or (
            before.text in _BOUNDARY or before.text in {")", "]", "}", ";", "..."}
        )
        if boundary:
            for token in reversed(targets):
                if token.kind == "string" or self._lookup(token.text) is None:
                    self.scan.assigned.append(Global(token.text, token.line))

    def _field_of_globals(self, at: int) -> Token | None:
        """The name (as a string) in `_G.name` or `_G["name"]` whose last token is at `at`."""
        index = self.token(at).text == "]" and self.token(at - 2).text == "["
        name = self.token(at - 1 if index else at)
        table, before = self.token(at - (3 if index else 2)), self.token(at - (4 if index else 3))
        if table != ("name", "_G", table.line) or before.text in {".", ":"}:
            return None
        if self._lookup("_G") is not None or name.kind != ("string" if index else "name"):
            return None
        return Token("string", name.text, name.line)

    def _start_of_place(self, at: int) -> int:
        """The first token of `a.b[c].d` whose last token is at `at`."""
        while at > 0:
            token = self.token(at)
            if token.text == "]":
                at = self._opening(at) - 1
            elif token.text == ")":
                at = self._opening(at)
                if self.token(at - 1).kind != "name":
                    return at
                at -= 1
            elif token.kind == "name" and self.token(at - 1).text in {".", ":"}:
                at -= 2
            else:
                return at
        return at

    def _opening(self, at: int) -> int:
        depth = 0
        while at > 0:
            text = self.token(at).text if self.token(at).kind == "op" else ""
            depth += (text in _CLOSERS) - (text in {"(", "[", "{"})
            if depth == 0:
                return at
            at -= 1
        return at

    def _name(self, token: Token) -> None:
        at = self.at
        self.at += 1
        brackets = self.scopes[-1].brackets
        in_table = bool(brackets) and brackets[-1] == "{"
        if in_table and self.token(at + 1).text == "=" and self.token(at - 1).text in "{,;":
            return
        path = [token.text]
        while self.token(self.at).text in {".", ":"} and self.token(self.at + 1).kind == "name":
            path.append(self.token(self.at + 1).text)
            method = self.token(self.at).text == ":"
            self.at += 2
            if method:
                break
        scope = self._lookup(token.text)
        module = scope.names[token.text] if scope else None
        recorded = self.scopes[-1].recorded
        if scope is None:
            numbers = tuple(open_scope.number for open_scope in self.scopes)
            self.scan.uses.append(Use(tuple(path), token.line, numbers, recorded))
            required = self._required(at)
            if required is not None:
                self.scan.requires.append((required, token.line))
        elif module is not None:
            self.scan.module_uses.append(Use((module, *path[1:]), token.line, recorded=recorded))
        is_method = self.token(self.at - 2).text == ":" and len(path) > 1
        named = scope is None or module is not None
        head = (module or token.text) if named else ""
        self._call((head, *path[1:]), token.line, method=is_method)

    def _field(self, token: Token) -> None:
        """A field or method of something that is no name, such as the result of a call."""
        name = self.token(self.at + 1)
        module = self._just_required()
        if module:
            recorded = self.scopes[-1].recorded
            self.scan.module_uses.append(Use((module, name.text), name.line, recorded=recorded))
        self.at += 2
        self._call((module, name.text), name.line, method=token.text == ":")
        self.at -= 2

    def _just_required(self) -> str:
        """The module of the `require` call that ends before the current token; "" for none."""
        for back in (4, 2):  # with and without parentheses
            if self._lookup("require") is None and self._required(self.at - back):
                text = self.token(self.at - 1).text
                if (text == ")") == (back == 4):
                    return self._required(self.at - back) or ""
        return ""

    def _call(self, path: tuple[str, ...], line: int, *, method: bool) -> None:
        """Notes a call with a literal first argument, when one begins at the current token."""
        argument, second = self.token(self.at), ""
        if argument.text == "(" and argument.kind == "op":
            argument = self.token(self.at + 1)
            after, more, end = (self.token(self.at + ahead) for ahead in (2, 3, 4))
            if after.text not in {",", ")"}:
                return
            if after.text == "," and more.kind == "string" and end.text in {",", ")"}:
                second = more.text
        if argument.kind == "string" and len(path) > 1:
            self.scan.calls.append(Call(path, argument.text, line, method, second))
