"""Types are blanked out of Lua sources: what stays, what goes, and what is refused."""

from __future__ import annotations

import pytest

from luaflow.registry.typed import erase, place_of
from luaflow.registry.typed_lexer import LuaSyntax

# What is between the marks is erased; the marks are no part of the text.
ERASED = [
    # Declarations of types.
    "⟦type X = Channel<Y>⟧",
    "⟦type X<K, V = string, W...> = Map<K, V>⟧ x = 1",
    "⟦export type X = {a: string, [string]: {V}, ok?: boolean; read n: number}⟧\nx = 1",
    "⟦type X =\n  | 'a'\n  | \"b\" -- or\n  | 1 | -2 | true | nil⟧\ny = 2",
    "⟦type X = typeof(f(1 + 2)) & A.B.C<D>[]?⟧",
    "⟦type F = (a: T, ...any) -> (R, err?)⟧",
    "⟦type F = <T>(T, ...T) -> ...T⟧",
    "⟦type F = fun(a: T, b?: U): R⟧",
    "⟦type F = function(a: T): R⟧ ⟦type G = function⟧",
    "⟦type R = { f: (self: R) -> nil, g(self: R, x: T): U, ... }⟧",
    "⟦type R = {}⟧ ⟦type L = {T}⟧ ⟦type P = {A, B}⟧ ⟦type E = {fun(): T}⟧",
    "⟦type U = {number @min(0) @max(1 + 2)} | string @pattern('^a') @nonempty⟧",
    "⟦type T = (((A | B)))⟧",
    "local x = 1\n⟦local type T = U⟧",
    # Locals.
    "local x⟦: T?⟧ = nil",
    "local a⟦: T⟧, b⟦: U⟧ = 1, 2",
    "local x <const>⟦: T⟧ = 1",
    "local x⟦: T⟧ <const> = 1",
    "local f <close>, g⟦: Map<K, V<W>>⟧= f()",
    "local f⟦: (a: T, ...any) -> (R, err?)⟧ = g",
    "local t⟦: {\n  k: T?,\n  [string]: V, -- of all\n}⟧ = {}",
    "local x⟦: T -- why?\n  | U⟧ = 1",
    "for i⟦: number⟧ = 1, 2 do end",
    "for i⟦: number⟧, v⟦: T⟧ in pairs(t) do end",
    "x⟦: number⟧ = 1 t.y⟦: T⟧, z = 1, 2",
    # Functions.
    "local function f(a⟦: T⟧, b⟦: U?⟧)⟦: R?⟧ return a end",
    "local function f⟦<T, U: {a: V}>⟧(x⟦: T⟧)⟦: T⟧ return x end",
    "local function f(a⟦?⟧⟦: T⟧, b⟦?⟧, ...⟦: any⟧)⟦: (A, ...B)⟧ end",
    "local function f()⟦: A, B⟧ end",
    "function M.a:f(x⟦: T⟧)⟦: R⟧ self.x = x end",
    "x = function(a⟦: T⟧)⟦ -> R⟧ return a end",
    "f(function(⟦⟧...⟦: T⟧)⟦: nil⟧ end, function⟦<T>⟧(x) end)",
    "local function f()⟦: (() -> T)?⟧ (g or h)() end",
    # Casts.
    "local y = e⟦ as T⟧",
    "local y = e⟦ :: T⟧ + -z⟦ :: number⟧",
    "return (f(x⟦ as T⟧)⟦ as any as {A}⟧), y⟦ as T?⟧",
    "local y = e\n  ⟦as T⟧",
    "local y = {a = b⟦ as A | B⟧, c⟦ :: (D)⟧; [k⟦ as K⟧] = v⟦ as V⟧}",
    "if x⟦ as number⟧ < y⟦ as Map<A, B>⟧ and z⟦ as T⟧ > 1 then end",
    "return x⟦ as (A | B)⟧ or y⟦ as 'lit'⟧ or z⟦ as {T}⟧",
    "local n = (user⟦!⟧).name .. user⟦!⟧.name",
    "local s = ('a'⟦ as string⟧) .. 1⟦ :: number⟧ .. {}⟦ :: T⟧",
    "while x⟦ :: T⟧ do end repeat until y⟦ as T⟧ ::label:: z()",
]


def parts(marked: str) -> tuple[str, str]:
    """The text without marks, and what is expected to be left of it."""
    text, left = "", ""
    for number, piece in enumerate(marked.replace("⟧", "⟦").split("⟦")):
        text += piece
        left += "".join(c if c in "\r\n" else " " for c in piece) if number % 2 else piece
    return text, left


@pytest.mark.parametrize("marked", ERASED)
def test_types_are_blanked_out(marked: str) -> None:
    """Spaces stand where types stood; every line and every column stays where it was."""
    text, left = parts(marked)
    assert erase(text).text == left


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/usr/bin/env lua\nreturn 1",
        "goto done x = 1 ::done:: y = 2",
        "for i = 1, 2 do\n  if i then goto continue end\n  ::continue::\nend",
        "x = y\n::label::\nz = 1",
        "local a <const>, b <close> = 1, nil",
        "a.b:c(1) a:b 'x' a:b {x = 1} x = y and z or w",
        "type(x) local type = type type = 1 t.type = type",
        "as = 1 export = 2 t.as = as local as = as return as",
        "x = y\nas(1)\nas 'x'\nas {1}",
        "x = y as(1)",
        "local function as() end function t.as() end function t:type() end",
        "continue = 1 continue() record = {} record.x = enum",
        "x = a < b and c > (d) y = f(a < b, c > (d))",
        "x = a << b >> c // d ~ ~e | f & g",
        "t = {type = 1, as = 2, ['x'] = 3; 4, ..., f()}",
        "-- x: T\n--[[ type X = Y ]] --[==[ a as b ]] ]==]\nx = 1",
        "s = 'a: T' .. \"b :: T\" .. [[type X = Y]] .. [=[ as ]] ]=]",
        "s = 'a\\'b' .. \"a\\\nb\" .. 'a\\z  \n  b' .. '\\\r\n'",
        "x = 0x1p4 + 0xA.8 + .5 + 1. + 1e10 + 0x.1 + 3 .. 4",
        "f{} f'' f[[x]] (f or g)() a[b](c).d['e']:f()",
        "return",
        "return;",
        "do return 1, 2; end",
        "local function f(...) return ... end",
        "if a then elseif b then else end while a do break end repeat until a",
        "local t <close> = x ; ;",
        "\tx\t=\t1\r\ny = 2\r\n",
    ],
)
def test_plain_lua_stays_as_it_is(text: str) -> None:
    """Byte for byte: words such as `as` and `type` are names where Lua has them as names."""
    assert erase(text).text == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("local y = e as T\n(f or g)()", "local y = e ;   \n(f or g)()"),
        ("x = y\ntype T = U\n(f or g)()", "x = y\n;         \n(f or g)()"),
        ("repeat until x :: T\n(f)()", "repeat until x ;   \n(f)()"),
    ],
)
def test_a_statement_ends_where_its_type_ended(text: str, left: str) -> None:
    """Without the type, Lua would take the parenthesis for a call of what stands before."""
    assert erase(text).text == left


@pytest.mark.parametrize(
    ("text", "place", "what", "remedy"),
    [
        ("for _, x in y do\n  continue\nend", (2, 3), "no 'continue'", "goto continue"),
        ("if x then continue end", (1, 11), "no 'continue'", "goto continue"),
        ("x.y += 1", (1, 5), "no '+='", "write x.y = x.y + ..."),
        ("x ..= 'a'", (1, 3), "no '..='", "write x = x .. ..."),
        ("x //= 2", (1, 3), "no '//='", "write x = x // ..."),
        ("s = `a {b}`", (1, 5), "backticks", "tostring(b)"),
        ("y = if a then b else c", (1, 5), "no 'if' expressions", "and a or b"),
        ("if x != 1 then end", (1, 6), "no '!='", "write ~="),
        ("x = 1_000", (1, 5), "1_000 is no number", "without '_': 1000"),
        ("x = 3..2", (1, 5), "3..2 is no number", "a space before '..'"),
        ("x = 0b1", (1, 5), "0b1 is no number", "write digits"),
        ("record R end", (1, 1), "no 'record' declarations", "write type Name"),
        ("local enum E end", (1, 7), "no 'enum' declarations", "write type Name"),
        ("export function f() end", (1, 1), "'export' stands before types", "return what"),
        ("return {", (1, 9), "expected an expression, found the end", "mend"),
        ("return {\n  a = 1\n", (2, 8), "expected '}' (for '{' in line 1)", "close what '{'"),
        ("while x do\nf(", (2, 3), "expected an expression", "mend"),
        ("while x do f()", (1, 15), "expected 'end' (for 'do' in line 1)", "close what 'do'"),
        ("function f(a\nend", (2, 1), "expected ')' after the parameters, found 'end'", "mend"),
        ("x = 1 end", (1, 7), "nothing is open that 'end' could close", "remove it"),
        ("return 1 x = 2", (1, 10), "'x' follows return", "do return end"),
        ("local x: = 5", (1, 10), "expected a type, found '='", "mend"),
        ("local x: {a b} = 5", (1, 13), "expected '}' (for '{' in line 1), found 'b'", "close"),
        ("local x: Map<A = 5", (1, 16), "expected '>', found '='", "mend"),
        ("type X", (1, 7), "expected '=' and the type, found the end", "mend"),
        ("f() = 1", (1, 1), "nothing can be assigned", "name a variable"),
        ("(x) = 1", (1, 1), "nothing can be assigned", "name a variable"),
        ("x", (1, 2), "expected '=' or a call", "mend"),
        ("x y", (1, 3), "expected '=' or a call, found 'y'", "mend"),
        ("f() + 1", (1, 5), "'+' follows a call", "mend"),
        ("s = 'a\nb'", (1, 5), "the string has no end in its line", "close it with '"),
        ("s = [==[ a ]]", (1, 5), "the long string has no end", "close it with ]==]"),
        ("--[[ a", (1, 1), "the long comment has no end", "close it with ]]"),
        ("x = 1 \\ 2", (1, 7), "has no meaning here", "remove it"),
        ("ä = 1", (1, 1), "'ä' has no meaning here", "remove it"),
        ("x = " + "(" * 500, (1, 154), "nests too deep", "into a function"),
        ("local x: " + "(" * 500, (1, 84), "nests too deep", "into a function"),
        ("do " * 500, (1, 451), "nests too deep", "into a function"),
    ],
)
def test_what_does_not_parse_is_told(
    text: str, place: tuple[int, int], what: str, remedy: str
) -> None:
    """With line and column, both from 1, and with what to do."""
    with pytest.raises(LuaSyntax) as caught:
        erase(text)
    assert place_of(text, caught.value.offset) == place
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_types_used_as_values_are_found() -> None:
    """A type that code calls is nil then; one that is a variable, too, is none."""
    text = "type A = {} type B = {} type C = B local B = {} A(1) print(B, A) x = y as C"
    assert erase(text).types_as_values == (("A", text.index("A(1)")),)
