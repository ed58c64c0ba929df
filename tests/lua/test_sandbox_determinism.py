"""The same program gives the same output in every process, run and order of insertion."""

from __future__ import annotations

import itertools
import locale
import random
import subprocess
import sys

import pytest
from tests.lua.support_sandbox import PRELUDE, Sandbox

SHOW = (
    "local out = {} for k in pairs(t) do out[#out + 1] = tostring(k) end "
    "return table.concat(out, ' ')"
)

PROGRAM = """
local t = {10, 20, 30, b = 1, a = 2, [2.5] = 1, [-1] = 1, [1 << 40] = 1, [true] = 1, [false] = 1}
for i = 1, 200 do t["key" .. i] = i end
for k, v in pairs(t) do print(k, v) end
local k = next(t)
while k ~= nil do print(k) k = next(t, k) end
local rows = {}
for i = 1, 1000 do rows[i] = {id = i, rank = i % 7} end
table.sort(rows, function(x, y) return x.rank < y.rank end)
for i = 1, 1000 do print(rows[i].id) end
print({}, print, coroutine.create(print), tostring(rows[1]), ("%s %p"):format(rows, rows))
for i = 1, 20 do print(math.random(), math.random(6), math.random(0), math.random(-5, 5)) end
math.randomseed(42) print(math.random(1000000))
math.randomseed("again", 3) print(math.random(1000000))
print(0/0, -(0/0), ("%f %s"):format(0/0, 0/0), table.concat({0/0}), tostring(1e15), 2^53, -0.0)
print(math.sinh(0.1), math.cosh(1), math.tanh(0.3), math.log10(1000), math.atan2(1, 2))
print(pcall(error, {}), select(2, pcall(function() return {} + 1 end)))
print(("x"):rep(3, "-"), ("b"):upper(), "a" < "B", "Z" < "a", "\\xff" > "z")
"""

SCRIPT = """
import sys
from tests.lua.support_sandbox import Sandbox
outcome = Sandbox().run(sys.stdin.read())
assert outcome.status == "done", outcome
print("\\n".join(outcome.lines))
"""


def test_eight_processes_print_the_same() -> None:
    """Hash seeds, addresses and heaps differ between processes; the output does not."""
    outputs = set()
    for n in range(8):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=PROGRAM,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=PRELUDE.parents[3],
            env={"LC_ALL": "C.UTF-8" if n % 2 else "C", "PYTHONHASHSEED": str(n)},
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) > 1400


def test_runs_that_share_a_runtime_do_not_see_each_other() -> None:
    """Serial and random numbers of a run do not depend on what other runs did in between."""
    program = "return tostring({}), math.random(1 << 50), tostring({}), math.random(1 << 50)"
    alone = [Sandbox().run(program, "a").lines, Sandbox().run(program, "a").lines]
    busy = Sandbox()
    first = busy.run("return tostring({}), math.random(1 << 50)", "a").lines
    for name in "bcd":
        busy.run("for i = 1, 99 do tostring({}) math.random() end math.randomseed(1)", name)
    second = busy.run("return tostring({}), math.random(1 << 50)", "a").lines
    assert alone[0] == alone[1] == first + second
    assert Sandbox().run(program, "b").lines != alone[0]


KEYS = ["1", "2", "3", "5", "-1", "0.5", "1e300", "'a'", "'b'", "'Z'", "'\\xff'", "true", "false"]
ORDER = "1 2 3 -1 0.5 5 1e+300 Z a b \ufffd false true"


def test_pairs_and_next_follow_the_stated_order_however_the_table_was_filled() -> None:
    """1..n, numbers ascending, strings by bytes, false, true: for every order of insertion."""
    sandbox = Sandbox()
    shuffled = random.Random(7)
    for _ in range(60):
        keys = shuffled.sample(KEYS, len(KEYS))
        fill = "local t = {} " + " ".join(f"t[{key}] = 1" for key in keys) + "\n"
        assert sandbox.run(fill + SHOW).lines == [ORDER]
        walk = "local out, k = {}, next(t) while k ~= nil do out[#out + 1] = tostring(k)"
        assert sandbox.run(
            fill + walk + " k = next(t, k) end return table.concat(out, ' ')"
        ).lines == [ORDER]


def test_small_tables_of_text_come_out_sorted() -> None:
    """Every order of filling gives the same order of reading, also after removals."""
    sandbox = Sandbox()
    for keys in itertools.permutations(["x", "y", "z", "w"], 4):
        fill = "local t = {q = 1} " + " ".join(f"t.{key} = 1" for key in keys) + " t.q = nil "
        assert sandbox.run(fill + SHOW).lines == ["w x y z"]


def test_a_loop_may_change_and_remove_fields_and_never_sees_new_ones() -> None:
    """pairs visits the keys there were, with their values of the moment; nil ones are skipped."""
    sandbox = Sandbox()
    body = "t[k] = nil t.z = nil t[k .. '+'] = 1"
    program = (
        f"local t = {{a=1,b=2,c=3,z=9}} local n = '' for k, v in pairs(t) do n = n .. k {body} end"
    )
    assert sandbox.run(program + " return n").lines == ["abc"]
    assert sandbox.run(
        "local t, n = {1,2,3,4}, 0 for k in pairs(t) do t[k] = nil n = n + k end return n, #t"
    ).lines == ["10", "0"]
    assert sandbox.run(
        "local t, n = {1,2,3}, 0 for k in pairs(t) do t[#t + 1] = 1 n = n + 1 end return n"
    ).lines == ["3"]
    assert sandbox.run(
        "local t = {a=1,b=2,c=3} local n = '' local k = next(t) while k do "
        "t[k] = nil n = n .. k k = next(t, k) end return n"
    ).lines == ["abc"]
    assert sandbox.run(
        "local t, n = {a=1,b=2,c=3}, '' for k, v in pairs(t) do t.c = 'new' n = n .. v end return n"
    ).lines == ["12new"]


def test_one_object_is_a_fine_key_and_objects_of_luaflow_are_ordered() -> None:
    """One table as a key comes last; the kernel's own objects come in the order of their making."""
    sandbox = Sandbox()
    one = "local key = {} local t = {[key] = 1, a = 1, [true] = 1}"
    assert sandbox.run(
        one + "local out = '' for k in pairs(t) do out = out .. type(k) .. ' ' end return out"
    ).lines == ["string boolean table "]
    made = sandbox.runtime.compile(
        b"local K = ... K.libs.base.make = function(n)"
        b" return K.stable.own(K.native.setmetatable({}, {__metatable = false, __name = 'thing',"
        b" __tostring = function() return n end})) end"
    )
    made(sandbox.shared)
    fill = "local list, t = {}, {} for i = 1, 20 do list[i] = make('o' .. i) end"
    for order in ("1, 20", "20, 1, -1"):
        code = fill + f" for i = {order} do t[list[i]] = 1 end " + SHOW
        assert sandbox.run(code).lines == [" ".join(f"o{i}" for i in range(1, 21))]
    assert "rawset refused" in sandbox.run("rawset(make('x'), 'a', 1)").detail


def test_sorting_is_stable_and_ends_whatever_the_comparison_says() -> None:
    """Equal elements keep their order; a comparison that contradicts itself cannot loop."""
    sandbox = Sandbox()
    stable = """
        local rows = {} for i = 1, 999 do rows[i] = {i, i * 7919 % 10} end
        table.sort(rows, function(a, b) return a[2] < b[2] end)
        for i = 2, 999 do
          local a, b = rows[i - 1], rows[i]
          if a[2] > b[2] or a[2] == b[2] and a[1] > b[1] then return "wrong" end
        end
        return "stable"
    """
    assert sandbox.run(stable).lines == ["stable"]
    assert sandbox.run(
        "local t = {3,1,2,3,1} table.sort(t, function() return true end) return #t"
    ).lines == ["5"]
    assert sandbox.run("local t = {3,1.5,2,'x'} table.sort(t)").detail.endswith(
        "attempt to compare string with number"
    )
    assert sandbox.run(
        "local t = {3,1,2} pcall(table.sort, t, error) return table.concat(t, ' ')"
    ).lines == ["3 1 2"]
    mixed = "local t = {1.0, 1, 2, 0.5} table.sort(t) return table.concat(t, ' ')"
    assert sandbox.run(mixed).lines == ["0.5 1.0 1 2"]
    assert sandbox.run(
        "local t = {'b','a','B','\\xff','é'} table.sort(t) return table.concat(t, ' ')"
    ).lines == ["B a b é \ufffd"]


def test_a_locale_that_sorts_differently_is_refused() -> None:
    """`<` and the decimal point follow the process: a changed locale fails the task, loudly."""
    sandbox = Sandbox()
    problem = sandbox.runtime.compile(b"local K = ... return K.native.locale_problem()")
    assert problem(sandbox.shared) is None
    before = locale.setlocale(locale.LC_NUMERIC), locale.setlocale(locale.LC_COLLATE)
    for name in ("en_US.UTF-8", "de_DE.UTF-8", "et_EE.UTF-8"):
        try:
            locale.setlocale(locale.LC_COLLATE, name)
        except locale.Error:
            continue
        try:
            with pytest.raises(Exception, match="LC_COLLATE"):
                sandbox.run("return 1")
        finally:
            locale.setlocale(locale.LC_NUMERIC, before[0])
            locale.setlocale(locale.LC_COLLATE, before[1])
    assert sandbox.run("return 1").lines == ["1"]


def test_random_numbers_are_spread_and_bounded() -> None:
    """math.random follows Lua 5.4's contract: ranges, errors, reseeding."""
    sandbox = Sandbox()
    code = """
        local seen = {}
        for i = 1, 6000 do local n = math.random(6) seen[n] = (seen[n] or 0) + 1 end
        for i = 1, 6 do if seen[i] < 800 or seen[i] > 1200 then return "skewed" end end
        for i = 1, 1000 do
          local x = math.random() if x < 0 or x >= 1 then return "float" end
          local n = math.random(math.mininteger, math.maxinteger)
          if math.type(n) ~= "integer" then return "integer" end
          if math.random(3, 3) ~= 3 then return "single" end
        end
        math.randomseed(5) local a = math.random(1 << 40)
        math.randomseed(5) local b = math.random(1 << 40)
        return a == b, pcall(math.random, 2, 1), #seen
    """
    assert sandbox.run(code).lines[0] == "true"
    assert "interval is empty" in sandbox.run("math.random(0, -1)").detail
    vector = (
        "math.randomseed() local a = math.random(0) math.randomseed() return a == math.random(0)"
    )
    assert sandbox.run(vector).lines == ["true"]
