"""The engine: isolation of runs, determinism, budgets, functions."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import Play, source

from luaflow.lua.vm import ActivationFault, BundleSource, Engine

MIX = """
local funcs, time = require("funcs"), require("time")
state = state or {}
return function(n)
    counter = (counter or 0) + n
    state[#state + 1] = n
    local t = {}
    for i = 1, 20 do t["k" .. (i * 7919 % 101)] = i end
    local order = {}
    for k, v in pairs(t) do order[#order + 1] = k end
    table.sort(order, function(a, b) return #a < #b end)
    local done = channel.new()
    for i, k in ipairs(order) do
        if i <= 3 then
            coroutine.spawn(function()
                funcs.call("a:" .. k, { math.random(1000), tostring({}), t })
                done:send(k)
            end)
        end
    end
    local winners = {}
    for _ = 1, 3 do winners[#winners + 1] = done:receive() end
    return { winners, counter, #state, tostring(print), math.random() }
end
"""


def test_two_runs_of_an_engine_share_no_globals() -> None:
    """A global assigned at run time belongs to that run."""
    engine = Engine(source(MIX))
    first, second = Play("", 5, engine=engine), Play("", 7, engine=engine)
    for play in (first, second):
        for seq in (2, 1, 3):
            play.resolve(seq)
    assert first.result[1:3] == [5, 1]
    assert second.result[1:3] == [7, 1]


def test_modules_cannot_be_changed() -> None:
    """Nothing mutable is shared."""
    for target in ("string", "process", 'require("time")', "process.event", "errors", "channel"):
        play = Play(f"return function() {target}.evil = 1 end")
        assert "is read-only" in play.failure["message"], target
        play = Play(f"return function() rawset({target}, 'evil', 1) end")
        assert "read-only" in play.failure["message"], target


def test_fresh_engines_do_the_same() -> None:
    """Same history, same code, same commands: over and over."""
    seen = set()
    for _ in range(10):
        play = Play(MIX, 5)
        for seq in (3, 1, 2):
            play.resolve(seq)
        seen.add((tuple(play.commands), play.last.result))
    assert len(seen) == 1


def test_replaying_gives_the_same_commands_without_their_data() -> None:
    """Operations, numbers and names agree."""
    live, replay = Play(MIX, 5), Play(MIX, 5, replaying=True)
    for seq in (1, 2, 3):
        live.resolve(seq)
        replay.resolve(seq)
    assert [c[:3] for c in live.commands] == [c[:3] for c in replay.commands]
    assert live.last.status == replay.last.status == "done"


def test_a_loop_without_end_is_stopped_and_the_engine_lives_on() -> None:
    """The activation is lost, not the process, nor the other runs."""
    engine = Engine(
        source("return function(loop) while loop do pcall(error) end return 1 end"),
        cpu_seconds=0.05,
    )
    other = Play("", False, engine=engine)
    with pytest.raises(ActivationFault, match="ran too long without waiting") as fault:
        Play("", True, engine=engine)
    assert fault.value.reason == "cpu"
    assert not engine.broken
    assert other.result == 1
    assert Play("", False, engine=engine).result == 1


def test_too_much_memory_is_stopped_and_breaks_the_engine() -> None:
    """The bundle's engine is thrown away and rebuilt by replay."""
    engine = Engine(
        source(
            "return function() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end"
        ),
        memory_bytes=4 * 1024 * 1024,
    )
    with pytest.raises(ActivationFault) as fault:
        Play("", engine=engine)
    assert fault.value.reason == "memory"
    assert engine.broken


def test_a_closed_run_says_so() -> None:
    """After close, and after a fault."""
    play = Play("return function() process.inbox():receive() end")
    play.run.close()
    with pytest.raises(Exception, match="rebuild it by replay"):
        play.step(b"message")


def test_unknown_and_late_outcomes_are_ignored() -> None:
    """A command that ended already, or never was."""
    play = Play("return function() process.inbox():receive() return 1 end")
    assert play.resolve(99, "?").status == "wait"
    assert play.step(b"child_started", 98, "{a|b}", None).status == "wait"


def test_stack_tells_where_every_coroutine_waits() -> None:
    """One line each."""
    play = Play("""local time = require("time")
return function()
    coroutine.spawn(function() time.sleep("1h") end)
    process.inbox():receive()
end""")
    assert play.run.stack().splitlines() == [
        "flow.lua:4: waits in receive",
        "flow.lua:3: waits in sleep",
    ]


def test_functions_use_the_same_kernel() -> None:
    """Wall time by a service; workflow calls answer as documented."""
    code = """local time, workflow = require("time"), require("workflow")
    return function(x)
        local t = time.now():unix_nano()
        local v, err = workflow.exec("a:b")
        local info = workflow.info()
        return { x, t, workflow.version("c", 1, 4), err:kind(), info == nil,
            workflow.history_length() }
    end"""
    play = Play(
        BundleSource("app:f", code, "f.lua", "main", ("time", "workflow", "sql")),
        1,
        kind="function",
    )
    assert play.result == [1, play.now * 1_000_000, 4, "Invalid", True, 0]
    assert play.commands == []


def test_a_side_effect_in_a_function_is_a_plain_call() -> None:
    """Nothing is looked up and nothing is recorded."""
    code = """local workflow = require("workflow")
    return function() return workflow.side_effect(function() return { 1 } end) end"""
    play = Play(BundleSource("app:f", code, "f.lua", "main", ("workflow",)), kind="function")
    assert play.result == [1]
    assert play.asked == []
    assert play.commands == []
