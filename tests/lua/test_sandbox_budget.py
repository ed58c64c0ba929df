"""What ends an activation, judged by clocks and by the memory itself, never by a text."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import INFO
from tests.lua.support_sandbox import MIB, Sandbox, hostile

from luaflow.lua import vm
from luaflow.lua.vm import BundleSource, Engine

SPIN = "for i = 1, 3e6 do local y = i % 7 end return 'end'"


def test_only_the_time_of_this_thread_counts() -> None:
    """The clock of the process says when to ask; the clock of the thread decides."""
    sandbox = Sandbox()
    native = sandbox.shared[b"native"]
    native[b"thread_time"] = lambda: 0.0
    assert sandbox.run(SPIN, cpu=0.01).lines == ["end"]
    seconds = iter([0.0, 0.005, 0.02])
    native[b"thread_time"] = lambda: next(seconds)
    assert sandbox.run(SPIN, cpu=0.01).detail == "cpu"


# Each keeps C busy inside one instruction or one call, long before a thousand are over.
SLOW_IN_C = {
    "zeros compared": r"local a, b = ('\0'):rep(600000) .. 'a', ('\0'):rep(600000) .. 'b' "
    "while true do local y = a < b end",
    "digits negated": "local s = ('1'):rep(4000000) while true do local y = -s end",
    "digits added": "local s = '0x' .. ('f'):rep(5000000) while true do local y = s + 0 end",
    "digits for the library": (
        "local s = ('1'):rep(16000000) while true do local y = math.abs(s) end"
    ),
    "strings of zeros sorted": r"""
        local t, z = {}, ('\0'):rep(1000) for i = 1, 20000 do t[i] = z .. i * 7919 % 20011 end
        while true do table.sort(t) end""",
    "keys of zeros": r"""
        local t, z = {}, ('\0'):rep(1000) for i = 1, 15000 do t[z .. i * 7919 % 20011] = 1 end
        while true do pairs(t) end""",
    "a long set at an anchor": """
        local s, p = ('a'):rep(4000000), '^[^' .. ('b'):rep(480) .. ']*'
        while true do s:find(p) end""",
    "a long set anywhere": """
        local s, p = ('a'):rep(4900000), '[^a' .. ('b'):rep(495) .. ']'
        while true do s:find(p) end""",
    "a replacement of signs": """
        local s = ('%%'):rep(8000000) while true do local y = ('x'):gsub('y', s) end""",
}


@pytest.mark.parametrize("program", SLOW_IN_C.values(), ids=SLOW_IN_C.keys())
def test_long_strings_cannot_keep_c_busy(program: str) -> None:
    """However long one instruction takes: a second, and some instructions later it is over."""
    outcome = hostile(program, cpu=0.2, memory=128 * MIB)
    assert (outcome.status, outcome.detail) == ("fault", "cpu")
    assert outcome.seconds < 2


HIDDEN = {
    "by a handler": "setmetatable({}, {__close = function() error('other', 0) end})",
    "by one that came later": "later",
}


@pytest.mark.parametrize("value", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_close_handler_cannot_hide_that_memory_ran_out(value: str) -> None:
    """How far the code came until then differs from engine to engine: nothing may depend on it."""
    sandbox = Sandbox()
    later = "mt = {} later = setmetatable({}, mt) mt.__close = function() error('other', 0) end"
    assert sandbox.run(later).status == "done"
    outcome = sandbox.run(
        f"""local n = 0
        pcall(function()
          local x <close> = {value}
          local t = {{}} for i = 1, 1e9 do t[i] = {{}} n = i end
        end)
        return n""",
        cpu=5,
        memory=8 * MIB,
    )
    assert (outcome.status, outcome.detail) == ("fault", "memory")


SAID = """
local text = "not enough memory"
local function say() error(text, 0) end
local co = coroutine.create(say)
print(pcall(error, text, 0))
print(coroutine.resume(co)) print(coroutine.close(co))
print(pcall(coroutine.wrap(say)))
print(pcall(function() pcall(say) say() end))
print(pcall(function() local x <close> = setmetatable({}, {__close = function() end}) say() end))
"""


def test_the_text_of_an_error_says_nothing_about_memory() -> None:
    """An error of the code's own that reads like Lua's is an ordinary error, caught or not."""
    sandbox = Sandbox()
    assert sandbox.run(SAID).lines == ["false not enough memory"] * 6
    outcome = sandbox.run("error('not enough memory', 0)")
    assert (outcome.status, outcome.detail) == ("error", "not enough memory")
    fill = SAID + " local t = {} while true do pcall(function() t[#t + 1] = {} end) end"
    assert sandbox.run(fill, memory=4 * MIB, cpu=5).detail == "memory"


MESSAGES = """
local calls = {
  function() return math.log10("x") end, function() return math.pow() end,
  function() return math.atan2(1) end, function() return math.floor("x") end,
  function() return tonumber(1, {}) end, function() return pcall() end,
  function() return ("x"):rep("y") end, function() return select(0) end,
  function() return table.concat({}, ",", "x") end, function() return ("%d"):format("x") end,
  function() return string.char(300) end, function() return error("x", {}) end,
}
for _, call in ipairs(calls) do
  print(select(2, pcall(call)))
  print(select(2, coroutine.resume(coroutine.create(call))))
  print(select(2, pcall(coroutine.wrap(call))))
end
"""


def test_no_message_names_a_line_of_the_kernel() -> None:
    """A release that moves lines must not change what code may have recorded."""
    lines = Sandbox().run(MESSAGES).lines
    assert len(lines) == 36
    for line in lines:
        assert "bad argument #" in line
        assert "luaflow" not in line


def test_recursion_without_end_is_an_error_that_can_be_caught() -> None:
    """Small frames end at a depth, large ones at Lua's own limit; the memory is not reached."""
    sandbox = Sandbox()
    small = "local function f() return 1 + f() end "
    large = "local function f(...) return 1 + f(...) end "
    for code, call in ((small, "f()"), (large, "f(1, 2, 3, 4, 5, 6, 7, 8, 9)")):
        outcome = sandbox.run(f"{code} return {call}")
        assert outcome.status == "error"
        assert outcome.detail.endswith(": stack overflow")
        caught = f"{code} return pcall(function() return {call} end)"
        assert sandbox.run(caught).lines == ["false", "stack overflow"]
    deep = "local function f(n) return n == 0 and 0 or 1 + f(n - 1) end return f(150000)"
    assert sandbox.run(deep).lines == ["150000"]
    hoard = "local function f(t) return 1 + f({t}) + #t end return f({})"
    assert sandbox.run(hoard, memory=16 * MIB).detail == "memory"


SERVICES = """
return { main = function()
  while true do require("uuid").v5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x") end
end }
"""


def test_asking_python_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer begins a budget of its own, so questions are counted, too."""
    monkeypatch.setattr(vm, "ANSWERING_SECONDS", 60.0)  # on a busy machine that would be first
    run = Engine(BundleSource("app:asks", SERVICES, modules=("uuid",))).open(INFO)
    out = run.step(b"start", 1, 1, 0, [], {})
    assert out.status == "failed"
    assert b"more than 100000 calls" in (out.failure or b"")


def test_format_does_not_search_long_flags_for_ever() -> None:
    """Thousands of zeros in a conversion are refused at once."""
    code = "return pcall(string.format, '%' .. ('0'):rep(20000) .. 'x', 1)"
    outcome = Sandbox().run(code, cpu=0.5)
    assert outcome.status == "done"
    assert outcome.seconds < 2


CHAIN = """
local first = {}
local prev = first
for i = 1, 15000 do
  local t = {}
  prev.x = 1 prev[t] = 1 next(prev, 'x') prev[t] = nil prev = t
end
for i = 1, 4 do local z = ('x'):rep(12e6) end
return 'done'
"""


def test_traversals_do_not_slow_the_collector() -> None:
    """A chain of tables under traversal by next costs one pass, not one for each."""
    run = Engine(BundleSource("app:chain", "return function() " + CHAIN + " end")).open(INFO)
    assert run.step(b"start", 1, 1, 0, [], {}).status == "done"


HIDING = {
    "assert": "return pcall(assert, false, 'not enough memory')",
    "a table as __close": "return pcall(setmetatable, {}, {__close = setmetatable({}, {})})",
}


@pytest.mark.parametrize("name", HIDING)
def test_memory_is_no_matter_of_words(name: str) -> None:
    """The code's own words break no engine; what is no handler is refused."""
    assert Sandbox().run(HIDING[name]).lines[:1] == ["false"]


def test_an_error_on_its_way_hides_no_other() -> None:
    """A block that ends with those words, and a handler that runs out of memory."""
    code = """pcall(function()
      local x <close> = setmetatable({}, {__close = function()
        local t = {} for i = 1, 1e9 do t[i] = {} end
      end})
      error('not enough memory', 0)
    end) return 'went on'"""
    assert Sandbox().run(code, memory=4_000_000).detail == "memory"


def test_a_weak_metatable_that_is_dropped_is_found() -> None:
    """It was collected before the activation ended."""
    code = """do
      local mt = {} local t = setmetatable({}, mt) mt.__mode = 'v'
    end
    for i = 1, 200000 do local x = {} end return 1"""
    assert Sandbox().run(code).detail == "weak"
