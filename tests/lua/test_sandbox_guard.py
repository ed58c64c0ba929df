"""Budgets and coroutines: ordinary use works, and waiting passes through every layer."""

from __future__ import annotations

from tests.lua.support_sandbox import MIB, Sandbox

THROUGH = """
local function work(tag)
  local ok, answer, n, x = pcall(function() return wait(tag) end)
  return table.concat({tostring(ok), answer, n, x}, ",")
end
local inner = coroutine.wrap(function()
  coroutine.yield(work("a"))
  local deep = coroutine.wrap(function() coroutine.yield(work("b")) return work("c") end)
  coroutine.yield(deep())
  return deep()
end)
return work("0"), inner(), inner(), inner()
"""


def test_a_wait_passes_through_pcall_and_nested_coroutines() -> None:
    """The kernel's yield goes up through the user's coroutines, its answer comes back down."""
    assert Sandbox().run(THROUGH).lines == [
        "true,answer,1,0",
        "true,answer,2,a",
        "true,answer,3,b",
        "true,answer,4,c",
    ]


def test_a_coroutine_that_waits_cannot_be_touched_by_others() -> None:
    """While it waits in luaflow it looks normal and can be neither resumed nor closed."""
    program = """
        local co
        co = coroutine.create(function() return wait("x") end)
        local seen = {}
        local other = coroutine.create(function()
          seen[1] = coroutine.status(co)
          seen[2] = tostring(coroutine.resume(co))
          seen[3] = tostring(pcall(coroutine.close, co))
        end)
        probe = other
        coroutine.resume(co)
        return table.concat(seen, " "), coroutine.status(co)
    """
    sandbox = Sandbox()
    spy = b"""
        local K = ...
        local N, G = K.native, K.guard
        return function()
          local env = K.libs.environment("r")
          function env.wait(...) return K.system_yield(...) end
          local seen
          local co = G.create(N.compile([[
            co = coroutine.create(function() return wait("x") end)
            return coroutine.resume(co)]], "@a.lua", env))
          G.begin(1, 1 << 26, env)
          G.resume(co)
          local spy = G.create(N.compile([[
            return coroutine.status(co), coroutine.resume(co), pcall(coroutine.close, co)]],
            "@b.lua", env))
          local _, status, resumed, closed, why = G.resume(spy)
          local ok, first, answer = G.resume(co, "answer")
          G.finish()
          return status, resumed, closed, why, first, answer
        end
    """
    answer = sandbox.runtime.compile(spy)(sandbox.shared)()
    assert answer == (
        b"normal",
        False,
        False,
        b"b.lua:1: cannot close a coroutine that waits in luaflow",
        True,
        b"answer",
    )
    assert sandbox.run(program).lines[1] == "dead"


def test_a_coroutine_of_the_kernel_cannot_be_resumed_with_a_forged_answer() -> None:
    """A waiting task of the run stays out of reach, even for its own other tasks."""
    spy = b"""
        local K = ...
        local N, G = K.native, K.guard
        return function()
          local env = K.libs.environment("r")
          function env.wait(...) return K.system_yield(...) end
          local main = G.create(N.compile("me = coroutine.running() return wait()", "@a.lua", env))
          local other = G.create(N.compile("return coroutine.resume(me, 'forged')", "@b.lua", env))
          G.begin(1, 1 << 26, env)
          G.resume(main)
          local _, resumed, why = G.resume(other)
          local _, answer = G.resume(main, "real")
          G.finish()
          return resumed, why, answer
        end
    """
    sandbox = Sandbox()
    answer = sandbox.runtime.compile(spy)(sandbox.shared)()
    assert answer == (False, b"cannot resume a coroutine that luaflow runs", b"real")


def test_plain_coroutines_work_as_in_lua() -> None:
    """create, resume, yield, wrap, status, close, running, isyieldable."""
    program = """
        local co = coroutine.create(function(a, b)
          local c = coroutine.yield(a + b)
          local d, e = coroutine.yield(c * 2)
          return d + e
        end)
        print(coroutine.resume(co, 1, 2)) print(coroutine.resume(co, 10))
        print(coroutine.status(co)) print(coroutine.resume(co, 3, 4)) print(coroutine.status(co))
        print(coroutine.resume(co))
        local log = {}
        co = coroutine.create(function()
          local x <close> = setmetatable({}, {__close = function() log[1] = "closed" end})
          coroutine.yield()
        end)
        coroutine.resume(co)
        print(coroutine.close(co), log[1], coroutine.status(co))
        print(coroutine.isyieldable(), select(2, coroutine.running()))
        print(coroutine.wrap(function() return coroutine.isyieldable(), select(2,
          coroutine.running()) end)())
        print(pcall(coroutine.wrap(function() error({}) end)))
        print(pcall(coroutine.wrap(function() error("text", 0) end)))
        for i in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do
          print(i) end
    """
    assert Sandbox().run(program).lines == [
        "true 3",
        "true 20",
        "suspended",
        "true 7",
        "dead",
        "false cannot resume dead coroutine",
        "true closed dead",
        "false true",
        "true false",
        "false table: 1",
        "false text",
        "1",
        "2",
        "3",
    ]


def test_pcall_and_xpcall_work_as_in_lua() -> None:
    """Values, errors and objects pass; the handler of xpcall runs after unwinding."""
    program = """
        print(pcall(function(...) return ... end, 1, nil, 3))
        print(pcall(error, "x", 0)) print(pcall(error)) print(pcall(nil))
        local object = {} print(select(2, pcall(error, object)) == object)
        print(xpcall(function(a) error(a, 0) end, function(e) return e .. "!" end, "x"))
        print(xpcall(function(a) return a end, print, "fine"))
        print(xpcall(error, function() error("again", 0) end))
        local function deep(n) if n == 0 then return "bottom" end return select(2,
          pcall(deep, n - 1)) end
        print(deep(90)) print(deep(200))
        local function waits(n) if n == 0 then return "end" end wait() return select(2,
          pcall(waits, n - 1)) end
        print(waits(90))
        for i = 1, 200 do pcall(error) end print(deep(90))
    """
    assert Sandbox().run(program).lines == [
        "true 1 nil 3",
        "false x",
        "false nil",
        "false attempt to call a nil value",
        "true",
        "false x!",
        "true fine",
        "false again",
        "bottom",
        "stack overflow (more than 100 nested pcalls)",
        "end",
        "bottom",
    ]


def test_a_dead_step_does_not_hurt_the_next_one() -> None:
    """Budgets start afresh with each step, for the same run and for others."""
    sandbox = Sandbox()
    for _ in range(3):
        assert sandbox.run("x = 1 while true do end", cpu=0.05).detail == "cpu"
        assert sandbox.run("return x", cpu=0.05).lines == ["1"]
        assert sandbox.run("local t = {} while true do t[#t + 1] = t .. '' end").status == "error"
        assert (
            sandbox.run("local t = {} while true do t[#t + 1] = {} end", memory=MIB).detail
            == "memory"
        )
        assert sandbox.run("return 2", "other").lines == ["2"]


def test_the_limit_is_on_top_of_what_is_used() -> None:
    """A run may keep what it has; each step may add up to the limit."""
    sandbox = Sandbox()
    keep = (
        "kept = kept or {} for i = 1, 10 do kept[#kept + 1] = "
        "('x'):rep(100000) .. #kept end return #kept"
    )
    for n in range(1, 6):
        assert sandbox.run(keep, memory=2 * MIB).lines == [str(n * 10)]
    assert sandbox.run("return #('x'):rep(3000000)", memory=2 * MIB).detail == "memory"
