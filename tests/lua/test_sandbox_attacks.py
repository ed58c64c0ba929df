"""Hostile programs end with an ordinary answer, and the next run of the runtime is not hurt."""

from __future__ import annotations

import pytest
from tests.lua.support_sandbox import MIB, Sandbox, hostile

# A program that must run out of CPU time, and nothing worse.
SPINNERS = {
    "a loop": "while true do end",
    "a loop in a coroutine": "coroutine.resume(coroutine.create(function() while true do end end))",
    "a loop in coroutine.wrap": "coroutine.wrap(function() while true do end end)()",
    "pcall around a spin": (
        "local function spin() while true do end end while true do pcall(spin) end"
    ),
    "pcall that calls itself": "local function g() pcall(g) return g() end g()",
    "pcall in metamethods": """
        local t = setmetatable({}, {__index = function(t, k) pcall(function() return t.x end)
          return t.y end})
        local function g() pcall(function() return t.x end) return g() end g()""",
    "short coroutines that nest": """
        local function f() for _ = 1, 3 do coroutine.wrap(f)() end end while true do
          pcall(f) end""",
    "coroutines without end": """
        while true do coroutine.resume(coroutine.create(function() end)) end""",
    "xpcall with a spinning handler": """
        local function spin() while true do end end while true do xpcall(error, spin) end""",
    "xpcall, both spinning": "local function spin() while true do end end xpcall(spin, spin)",
    "100 spinning __close": """
        local spin = setmetatable({}, {__close = function() while true do end end})
        local function f(n) local x <close> = spin if n > 0 then f(n - 1) end end
        while true do pcall(f, 100) end""",
    "__close that opens two more": """
        local x = {}
        local function h() local a <close> = x local b <close> = x while true do end end
        setmetatable(x, {__close = h})
        pcall(h)""",
    "the same in a coroutine that is closed": """
        local x = {}
        local function h() local a <close> = x local b <close> = x while true do end end
        setmetatable(x, {__close = h})
        local co = coroutine.create(function() local a <close> = x coroutine.yield() end)
        coroutine.resume(co) coroutine.close(co)""",
    "the same deep in the C stack": """
        local x = {}
        local function h() local a <close> = x local b <close> = x while true do end end
        setmetatable(x, {__close = h})
        local function deep(n)
          if n == 0 then return pcall(h) end
          return setmetatable({}, {__index = function() return deep(n - 1) end}).x
        end
        for n = 170, 200 do pcall(deep, n) end while true do end""",
    "coroutine.close in a loop": """
        local spin = setmetatable({}, {__close = function() while true do end end})
        while true do
          local co = coroutine.create(function() local x <close> = spin coroutine.yield() end)
          coroutine.resume(co) coroutine.close(co)
        end""",
    "gsub that calls itself": """
        local function g() return (("x"):gsub(".", g)) end while true do pcall(g) end""",
    "a backtracking pattern": "return (('a'):rep(5000)):find('.-.-.-.-b')",
    "a?, 28 times": "return (('a'):rep(28)):find(('a?'):rep(28) .. ('a'):rep(28) .. 'b')",
    "patterns in a loop": "local s = ('a'):rep(2000) while true do s:find('a-b') end",
    "gmatch that backtracks": "for _ in (('a'):rep(5000)):gmatch('a-a-a-b') do end",
    "gsub that backtracks": "return (('a'):rep(5000)):gsub('.-.-.-b', 'x')",
    "a quadratic pattern": "return (('a'):rep(200000)):find('a*b')",
    "%b everywhere": "return (('('):rep(200000)):find('%b()')",
    "rep in a loop": "while true do ('x'):rep(1000000) end",
    "big strings joined": "local s = ('x'):rep(9000000) while true do local y = s .. 'y' end",
    "big strings compared": """
        local a, b = ('x'):rep(9000000) .. 'a', ('x'):rep(9000000) .. 'b'
        while true do local y = a < b end""",
    "upper in a loop": "local s = ('x'):rep(9000000) while true do s:upper() end",
    "insert at the front": """
        local t = {} for i = 1, 1500000 do t[i] = i end
        while true do table.insert(t, 1, 1) table.remove(t, 1) end""",
    "concat of many": """
        local t = {} for i = 1, 200000 do t[i] = 'x' end while true do table.concat(t) end""",
    "move of many": """
        local t = {} for i = 1, 300000 do t[i] = i end while true do table.move(t, 1,
          300000, 1, {}) end""",
    "a sort that never decides": """
        local t = {} for i = 1, 100000 do t[i] = i end
        while true do table.sort(t, function() return true end) end""",
    "pairs over many keys": """
        local t = {} for i = 1, 50000 do t['k' .. i] = i end while true do pairs(t) end""",
    "a spinning __tostring": """
        return tostring(setmetatable({}, {__tostring = function() while true do end end}))""",
    "a spinning __pairs": "pairs(setmetatable({}, {__pairs = function() while true do end end}))",
    "a spinning __index": "return setmetatable({}, {__index = function() while true do end end}).x",
    "a spinning __lt in sort": """
        local mt = {__lt = function() while true do end end}
        table.sort({setmetatable({}, mt), setmetatable({}, mt)})""",
    "unpack in a loop": """
        local t = {} for i = 1, 20000 do t[i] = i end while true do select('#',
          table.unpack(t)) end""",
}


@pytest.mark.parametrize("program", SPINNERS.values(), ids=SPINNERS.keys())
def test_a_spinning_program_ends_with_its_cpu_time(program: str) -> None:
    """Whatever catches errors or works in C, the step ends soon after its CPU time."""
    outcome = hostile(program, cpu=0.2, memory=128 * MIB)
    assert (outcome.status, outcome.detail) == ("fault", "cpu")
    assert outcome.seconds < 0.2 + 0.4


HOARDERS = {
    "tables": "local t = {} for i = 1, 1e9 do t[i] = {} end",
    "tables, caught": """
        while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end) end""",
    "in a coroutine, caught": """
        while true do
          coroutine.resume(coroutine.create(function() local t = {} for i = 1, 1e9 do
            t[i] = {} end end))
        end""",
    "strings that double": "local s = 'x' while true do s = s .. s end",
    "reps": "local t = {} for i = 1, 100 do t[i] = ('x'):rep(16000000 + i) end",
    "gsub that grows": "local s = ('x'):rep(100000) return (s:gsub('x', s))",
    "format that grows": (
        "local s = ('x'):rep(9000000) return ('%s%s%s%s%s%s%s%s'):format(s,s,s,s,s,s,s,s)"
    ),
    "coroutines": """
        local t = {} for i = 1, 1e9 do
          t[i] = coroutine.create(coroutine.yield) coroutine.resume(t[i]) end""",
    "deep recursion": "local function f(a, b, c) return f(a, b, {}) + 1 end f()",
    "a huge sort": "local t = {} for i = 1, 3000000 do t[i] = i + .5 end table.sort(t)",
}


@pytest.mark.parametrize("program", HOARDERS.values(), ids=HOARDERS.keys())
def test_a_hoarding_program_ends_with_its_memory(program: str) -> None:
    """Memory ends the step cleanly, however the error is caught, and the runtime goes on."""
    outcome = hostile(program, cpu=5, memory=32 * MIB)
    assert (outcome.status, outcome.detail) == ("fault", "memory")


REFUSED = {
    "os.execute('true')": "os.execute is not available in workflows: use an activity",
    "os.exit(7)": "os.exit is not available",
    "return os.getenv('HOME')": "os.getenv is not available",
    "io.open('/etc/passwd')": "io is not available in workflows: use an activity",
    "package.loadlib('x', 'y')": "package is not available",
    "load('return 1')": "load is not available",
    "dofile('x')": "dofile is not available",
    "string.dump(print)": "string.dump is not available",
    "return ('x'):dump()": "string.dump is not available",
    "debug.getregistry()": "debug is not available",
    "collectgarbage()": "collectgarbage is not available",
    "python.eval('1')": "python is not available",
    "utf8.char(1)": "utf8 is not available",
    "return _G.io.read()": "io is not available",
    "getmetatable('').__index.upper = nil": "attempt to index a boolean value",
    "string.upper = nil": "string is read-only: cannot set 'upper'",
    "rawset(string, 'upper', 1)": "string is read-only",
    "table.insert(string, 1)": "belongs to luaflow",
    "table.sort(math)": "belongs to luaflow",
    "table.move({1}, 1, 1, 1, math)": "belongs to luaflow",
    "setmetatable(string, {})": "cannot change a protected metatable",
    "setmetatable(_G, {__index = error})": "cannot change a protected metatable",
    "setmetatable({}, {__gc = print})": "__gc is not available",
    "setmetatable({}, {__mode = 'k'})": "weak tables are not available",
    "setmetatable('', {})": "table expected, got string",
    "return (''):rep(1e15), ('x'):rep(1e15)": "string.rep: the result would be longer",
    "local _ = ('x'):rep(1 << 62, ('y'):rep(4))": "string.rep: the result would be longer",
    "table.move({}, 1, 1e15, 2)": "table.move: more than",
    "table.move({}, math.mininteger, math.maxinteger, 2)": "table.move: more than",
    "table.insert(setmetatable({}, {__len = function() return 1e15 end}), 1, 1)": "has __len",
    "table.insert(setmetatable({}, {__newindex = print}), 1)": "has __newindex",
    "table.concat(setmetatable({}, {__index = function() return 'x' end}), "
    "'', 1, 1e7)": "invalid value",
    "table.concat({}, '', 1, 1e15)": "table.concat: more than",
    "table.unpack({}, 1, 1e7)": "too many results to unpack",
    "local _ = ('x'):rep(100000):byte(1, -1)": "more than 20000 bytes",
    "local _ = ('x'):find(('a'):rep(501) .. '*')": "pattern too long",
    "local _ = (('a'):rep(9000000)):find(('a'):rep(4000000) .. 'b', 1, true)": "takes too long",
    "return ('x'):format(), ('%d'):format('x')": "bad argument #2 to 'format'",
    "coroutine.yield()": "attempt to yield from outside a coroutine",
    "local co = coroutine.running() coroutine.wrap(function() "
    "error((select(2, coroutine.resume(co)))) end)()": "cannot resume",
    "coroutine.close(coroutine.running())": "cannot close a coroutine that luaflow runs",
    "local t = {} t[{}], t[{}] = 1, 2 pairs(t)": "no order that is the same on every machine",
    "local t = {} t[{}], t[print] = 1, 2 next(t)": "no order that is the same on every machine",
}


@pytest.mark.parametrize(("program", "message"), REFUSED.items())
def test_a_forbidden_call_says_so_with_its_line(program: str, message: str) -> None:
    """What is not allowed raises an error that names the place and the remedy."""
    outcome = Sandbox().run(program, cpu=2)
    assert outcome.status == "error"
    assert message in outcome.detail
    assert outcome.detail.startswith("test.lua:1: ")


BYTECODE = b"\x1bLua" + b"T\x00\x19\x93\r\n\x1a\n\x04\x08\x08" + b"\x00" * 60


def test_bytecode_and_huge_sources_are_refused() -> None:
    """Only text compiles, up to 1 MiB; absurd nesting is a clean error."""
    sandbox = Sandbox()
    assert "attempt to load a binary chunk" in sandbox.run(BYTECODE).detail
    assert "split it into libraries" in sandbox.run("-" * (MIB + 1)).detail
    nested = "return " + "(" * 100_000 + "1" + ")" * 100_000
    assert "overflow" in sandbox.run(nested).detail
    long_pattern = "return ('x'):find('" + "a-" * 150_000 + "')"
    assert "pattern too long" in sandbox.run(long_pattern).detail
    assert sandbox.run("return 1").lines == ["1"]


WALK = """
local seen, queue, bad = {}, {_G}, {}
local function see(value, path)
  local kind = type(value)
  if kind == "userdata" then bad[#bad + 1] = path end
  if kind == "table" and not seen[value] then seen[value] = true queue[#queue + 1] = value end
end
local first = {string=string, table=table, math=math, coroutine=coroutine, os=os, _G=_G}
for name, module in pairs(first) do
  see(module, name)
  for key, value in pairs(module) do see(value, name .. "." .. tostring(key)) end
  local mt = getmetatable(module)
  if mt then bad[#bad + 1] = "metatable of " .. name end
end
for key, value in pairs(_G) do see(value, key) end
for _, value in ipairs({"", 1, true, print, coroutine.running()}) do
  if getmetatable(value) then bad[#bad + 1] = "metatable of a " .. type(value) end
end
return #bad, bad[1]
"""


def test_nothing_of_the_host_can_be_reached() -> None:
    """No userdata, no metatable of ours and no real global is within reach of a program."""
    sandbox = Sandbox()
    assert sandbox.run(WALK).lines[0] == "0"
    left = sandbox.runtime.globals()
    assert list(left.keys()) == []


def test_globals_and_modules_of_runs_are_apart() -> None:
    """A global of one run is not there in another, and modules cannot be changed for others."""
    sandbox = Sandbox()
    assert sandbox.run("x = 1 string2 = string return x", "a").lines == ["1"]
    assert sandbox.run("return x, _G.x, rawget(_G, 'x')", "b").lines == ["nil"] * 3
    assert sandbox.run("return x", "a").lines == ["1"]
    sandbox.run("rawset(_G, 'tostring', function() return 'mine' end)", "a")
    assert sandbox.run("return tostring(1)", "b").lines == ["1"]
    assert sandbox.run("return tostring(1)", "a").lines == ["mine"]


def test_memory_faults_three_hundred_times_do_not_hurt_the_process() -> None:
    """The limit strikes inside Lua only: filling memory again and again never aborts."""
    sandbox = Sandbox()
    fill = "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end"
    for _ in range(300):
        assert sandbox.run(fill, memory=2 * MIB).detail == "memory"
    big = "return #'" + "x" * (900 * 1024) + "'"
    assert sandbox.run(big, memory=16 * 1024).lines == [str(900 * 1024)]


def test_uncaught_error_values_stay_text() -> None:
    """Error objects and bad UTF-8 leave as an error of the program."""
    sandbox = Sandbox()
    assert sandbox.run("error({code = 1})").detail == "table"
    assert sandbox.run("error('\\xff', 0)").detail == "�"
    assert sandbox.run("error()").detail == "nil"
    assert sandbox.run("return 1").lines == ["1"]
