"""The library that programs see is Lua's, within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lua.support_sandbox import Sandbox

SANDBOX = Sandbox()

BOTH = rb"""
local K = ...
local N, P = K.native, K.patterns
local function pack(ok, ...)
  local out = {N.tostring(ok)}
  for i = 1, N.select("#", ...) do out[i + 1] = N.tostring((N.select(i, ...))) end
  return N.table.concat(out, "\1")
end
local function slow_find(s, p, init)
  local i, j, captures = P.match(P.compile(p, true), s, init)
  if i then return i, j, N.table.unpack(captures) end
  return nil
end
return function(s, p, init)
  return pack(N.pcall(N.string.find, s, p, init)), pack(N.pcall(slow_find, s, p, init))
end
"""
FIND_BOTH: Any = SANDBOX.runtime.compile(BOTH)(SANDBOX.shared)

ITEM = st.one_of(
    st.builds(
        str.__add__,
        st.sampled_from(
            ["a", "b", ".", "%a", "%d", "%s", "[ab]", "[^a]", "[a-c]", "%.", "[]a]", "[^]b]"]
        ),
        st.sampled_from(["", "", "*", "+", "-", "?"]),
    ),
    st.sampled_from(["(a)", "(.-)", "(%a*)", "()", "%b()", "%bab", "%f[%w]", "%f[^a]", "(a*)%1"]),
)
PATTERN = st.builds(
    lambda start, items, end: start + "".join(items) + end,
    st.sampled_from(["", "^"]),
    st.lists(ITEM, max_size=5),
    st.sampled_from(["", "$"]),
)


@settings(max_examples=2000, deadline=None)
@given(text=st.text("aab1 .()", max_size=14), pattern=PATTERN, init=st.integers(1, 4))
def test_the_matcher_in_lua_finds_what_the_one_in_c_finds(
    text: str, pattern: str, init: int
) -> None:
    """Patterns too dear for C give the same positions and captures in Lua."""
    native, ours = FIND_BOTH(text.encode(), pattern.encode(), min(init, len(text) + 1))
    assert ours == native


LONG = "local s = (' hello  world '):rep(60) "

ORDINARY = {
    "return ('hello'):find('l')": "3 3",
    "return ('hello'):find('l', -2)": "4 4",
    "return ('a.b'):find('.', 1, true), ('a.b'):find('.', 9)": "2 nil",
    "return ('key = value'):match('^(%w+)%s*=%s*(%w+)$')": "key value",
    LONG
    + "return #s:match('^%s*(.-)%s*$'), s:match('^%s*(.-)%s*$'):sub(1, 12)": "838 hello  world",
    LONG + "return select(2, s:gsub('(%w+)%s-(%w+)%s-$', '%2 %1')), select(2, "
    "s:gsub('%s+', ''))": "1 121",
    LONG
    + "local n = 0 for a, b in s:gmatch('(h.-o)%s-(w.-d)') do n = n + #a + #b end return n": "600",
    LONG + "return (s:gsub('(h%a-o)%s-(w.-d).*', {hello = 'T'}))": " T",
    LONG + "return (s:gsub('^(.-)(o)(.*)$', function(a, b) return a .. b:upper() end))": " hellO",
    LONG + "return (s:gsub('(.-)(.-)(.-)d', '%9'))": None,
    "return (('abc'):gsub('%w', '%0%0', 2))": "aabbc",
    "return (('abc'):gsub('', '-'))": "-a-b-c-",
    "local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[#t + 1] = k .. v end "
    "return table.concat(t, ';')": "a1;b2",
    "return ('%5.2f|%-5s|%05d|%x|%q|%%|%c|%i'):format(3.14159, 'ab', 42, 255, 'a\\nb', 65, 7)": (
        ' 3.14|ab   |00042|ff|"a\\\nb"|%|A|7'
    ),
    "return ('%s %s %s %10s'):format(nil, true, 1.5, 'x')": "nil true 1.5          x",
    "return ('%s'):format(setmetatable({}, {__tostring = function() return 'T!' end}))": "T!",
    "return tostring(setmetatable({}, {__name = 'My'}))": "My: 1",
    "return ('%5p|%-7p|%p|%8p'):format('abc', 'abc', {}, 1)": "(null)|(null) |1|  (null)",
    "return ('x'):rep(0), ('ab'):rep(3, ','), ('x'):rep(-1)": " ab,ab,ab ",
    "return ('hello'):byte(-1), ('hello'):byte(1, 3)": "111 104 101 108",
    "return ('hello'):sub(-3, -2), #'abc', ('aB'):upper(), ('aB'):lower(), ('ab'):reverse()": (
        "ll 3 AB ab ba"
    ),
    "local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) return "
    "table.concat(t, ' ')": "0 1 2 3",
    "local t = {1, 2, 3} return table.remove(t), table.remove(t, 1), #t": "3 1 1",
    "return table.remove({}), table.remove({}, 0)": "nil nil",
    "return table.unpack({1, 2, 3}, 2)": "2 3",
    "return unpack({1, nil, 3}, 1, 3)": "1 nil 3",
    "return table.concat(table.move({1, 2, 3}, 1, 3, 2), ' ')": "1 1 2 3",
    "return table.pack(1, nil).n, table.concat({}, ','), table.concat({1, 2.5, 'x'}, '-')": (
        "2  1-2.5-x"
    ),
    "return select('#', nil, nil), select(-1, 1, 2), tonumber('0x10'), "
    "tonumber('z', 36)": "2 2 16 35",
    "return math.pow(2, 3), math.log10(100), math.atan2(0, 1), math.sinh(0), math.cosh(0)": (
        "8.0 2.0 0.0 0.0 1.0"
    ),
    "return math.type(1), math.tointeger(3.0), math.ult(1, -1), math.maxinteger": (
        "integer 3 true 9223372036854775807"
    ),
    "return 7 // 2, 7 % -3, 1 << 3, 5 & 6, 3 | 4, 2^0.5 > 1.4": "3 -2 8 4 7 true",
    "return '10' + 5, 10 .. 20": "15 1020",
    "return _VERSION, _G._G == _G, type(string)": "Lua 5.4 true table",
    "return rawget({a = 1}, 'a'), rawset({}, 'b', 2).b, rawequal(1, 1), next({})": "1 2 true nil",
    "return getmetatable(''), getmetatable({}), "
    "getmetatable(setmetatable({}, {__metatable = 5}))": ("false nil 5"),
    "for k in pairs(setmetatable({}, {__pairs = function(t) return next, "
    "{z = 1} end})) do return k end": ("z"),
    "local names = {} for name in pairs(coroutine) do names[#names + 1] = name end "
    "return table.concat(names, ' ')": "close create isyieldable resume running status wrap yield",
    "return os.difftime(5, 3), os.platform": "2.0 wippy",
    "math.floor = nil": None,
    "local mt = {__metatable = false} local t = setmetatable({}, mt) rawset(t, 'x', 1) "
    "return rawget(t, 'x')": "1",
}


@pytest.mark.parametrize(("program", "expected"), ORDINARY.items())
def test_ordinary_programs_get_lua_s_answers(program: str, expected: str | None) -> None:
    """What Lua 5.4 answers, the bounded library answers; None marks programs that must fail."""
    outcome = Sandbox().run(program)
    if expected is None:
        assert outcome.status == "error"
    else:
        assert (outcome.status, " ".join(outcome.lines)) == ("done", expected)


WRONG = {
    "string.rep()": "bad argument #1 to 'rep' (string expected, got no value)",
    "local x = ('x'):rep({})": "bad argument #2 to 'rep' (number expected, got table)",
    "local x = ('x'):rep(1.5)": "number has no integer representation",
    "local x = ('x'):find()": "bad argument #2 to 'find' (string expected, got no value)",
    "local x = ('x'):find('[a')": "malformed pattern (missing ']')",
    "local x = ('x'):find('%')": "malformed pattern (ends with '%')",
    "local x = ('x'):match('(a')": "unfinished capture",
    "local x = ('x'):match('a)')": "invalid pattern capture",
    "local x = ('x'):gsub('x', true)": "bad argument #3 to 'gsub' (string/function/table expected",
    "local x = ('x'):gsub('x', '%z')": "invalid use of '%' in replacement string",
    "table.insert({}, 1, 2, 3)": "wrong number of arguments to 'insert'",
    "table.insert({}, 5, 1)": "bad argument #2 to 'insert' (position out of bounds)",
    "table.insert(nil, 1)": "bad argument #1 to 'insert' (table expected, got no value)",
    "table.concat({{}})": "invalid value (at index 1) in table for 'concat'",
    "local x = ('%d'):format('x')": "bad argument #2 to 'format' (number expected, got string)",
    "pairs(nil)": "bad argument #1 to 'pairs' (table expected, got no value)",
    "next({}, 0 / 0)": "invalid key to 'next'",
    "setmetatable({}, 1)": "bad argument #2 to 'setmetatable' (nil or table expected, got number)",
    "rawset({}, nil, 1)": "table index is nil",
    "coroutine.wrap(1)": "bad argument #1 to 'wrap' (function expected, got number)",
    "local f = coroutine.wrap(function() end) f() f()": "cannot resume dead coroutine",
}


@pytest.mark.parametrize(("program", "message"), WRONG.items())
def test_wrong_arguments_are_named_at_the_user_s_line(program: str, message: str) -> None:
    """The message is Lua's own, and the position is the user's, not the library's."""
    outcome = Sandbox().run("\n" + program)
    assert outcome.status == "error"
    assert outcome.detail.startswith("test.lua:2: ")
    assert message in outcome.detail
