"""Coroutines in FIFO order, channels, ordered select, deadlock."""

from __future__ import annotations

import time

import pytest
from tests.lua.support_kernel import Play, result_of, source

from luaflow.lua.vm import Engine

ORDER_CASES = {
    "a child runs first until it blocks": (
        """local log = {}
        coroutine.spawn(function() log[#log + 1] = "child" end)
        log[#log + 1] = "parent"
        return log""",
        ["child", "parent"],
    ),
    "children take turns in the order they were made": (
        """local log, done = {}, channel.new()
        for i = 1, 3 do
            coroutine.spawn(function()
                log[#log + 1] = "start " .. i
                done:receive()
                log[#log + 1] = "end " .. i
            end)
        end
        for i = 1, 3 do done:send(i) end
        log[#log + 1] = "main"
        coroutine.spawn(function() end)
        return log""",
        ["start 1", "start 2", "start 3", "main", "end 1", "end 2", "end 3"],
    ),
    "a rendezvous hands the value over": (
        """local ch = channel.new()
        coroutine.spawn(function() ch:send("a"); ch:send("b") end)
        return { ch:receive(), (ch:receive()) }""",
        ["a", "b"],
    ),
    "a buffer holds what fits": (
        """local ch = channel.new(2)
        ch:send(1) ch:send(2)
        ch:close()
        local a, ok1 = ch:receive()
        local b, ok2 = ch:receive()
        local c, ok3 = ch:receive()
        return { a, ok1, b, ok2, c == nil, ok3 }""",
        [1, True, 2, True, True, False],
    ),
    "a blocked sender fills the buffer when room comes": (
        """local ch, log = channel.new(1), {}
        coroutine.spawn(function() for i = 1, 3 do ch:send(i); log[#log + 1] = i end end)
        local got = { ch:receive(), (ch:receive()), (ch:receive()) }
        return got""",
        [1, 2, 3],
    ),
    "nil can be sent": (
        """local ch = channel.new(1)
        ch:send(nil)
        local v, ok = ch:receive()
        return { v == nil, ok }""",
        [True, True],
    ),
    "closing wakes receivers with nil, false": (
        """local ch, out = channel.new(), {}
        coroutine.spawn(function() local v, ok = ch:receive(); out = { v == nil, ok } end)
        ch:close() ch:close()
        coroutine.spawn(function() end)
        return out""",
        [True, False],
    ),
    "sending on a closed channel raises": (
        """local ch = channel.new() ch:close()
        local ok, err = pcall(ch.send, ch, 1)
        return { ok, err:match("send on closed channel") }""",
        [False, "send on closed channel"],
    ),
    "a blocked sender raises when its channel closes": (
        """local ch, out = channel.new(), nil
        coroutine.spawn(function() out = { pcall(ch.send, ch, 1) } end)
        ch:close()
        coroutine.spawn(function() end)
        return { out[1], out[2]:match("send on closed channel") }""",
        [False, "send on closed channel"],
    ),
    "select takes the first ready case": (
        """local a, b = channel.new(1), channel.new(1)
        a:send("a") b:send("b")
        local r = channel.select({ b:case_receive(), a:case_receive() })
        return { r.channel == b, r.value, r.ok }""",
        [True, "b", True],
    ),
    "select waits and is woken once": (
        """local a, b, log = channel.new(), channel.new(), {}
        coroutine.spawn(function() b:send(1); log[#log + 1] = "b sent" end)
        local r = channel.select({ a:case_receive(), b:case_receive() })
        coroutine.spawn(function() a:send(2); log[#log + 1] = "a sent" end)
        log[#log + 1] = a:receive()
        return { r.value, log[1], log[2] }""",
        [1, "b sent", 2],
    ),
    "select sends": (
        """local a, got = channel.new(), nil
        coroutine.spawn(function() got = a:receive() end)
        local r = channel.select({ a:case_send("x") })
        coroutine.spawn(function() end)
        return { r.ok, r.channel == a, got }""",
        [True, True, "x"],
    ),
    "select answers default when nothing is ready": (
        """local a = channel.new()
        local r = channel.select({ a:case_receive(), default = true })
        local s = channel.select({ a:case_receive() }, true)
        return { r.default, r.ok, s.default }""",
        [True, True, True],
    ),
    "a closed case is ready": (
        """local a = channel.new() a:close()
        local r = channel.select({ a:case_receive(), default = true })
        return { r.ok, r.value == nil, r.default == nil }""",
        [False, True, True],
    ),
    "a buffer that was empty is one again": (
        """local ch, got = channel.new(2), {}
        for i = 1, 3 do
            ch:send(10 * i) ch:send(10 * i + 1)
            coroutine.spawn(function() ch:send(10 * i + 2) end)
            for _ = 1, 3 do got[#got + 1] = ch:receive() end
        end
        local r = channel.select({ ch:case_receive(), default = true })
        return { got, r.default }""",
        [[10, 11, 12, 20, 21, 22, 30, 31, 32], True],
    ),
    "who waits for several leaves the queues of the others": (
        """local a, b, got = channel.new(), channel.new(), {}
        for i = 1, 3 do
            coroutine.spawn(function()
                local r = channel.select({ a:case_receive(), b:case_receive() })
                got[#got + 1] = { i, r.value }
            end)
        end
        b:send("b1") a:send("a1")
        coroutine.spawn(function()
            local v = a:receive()
            got[#got + 1] = { 4, v }
        end)
        b:send("b2") a:send("a2")
        coroutine.spawn(function() end)
        return got""",
        [[1, "b1"], [2, "a1"], [3, "b2"], [4, "a2"]],
    ),
    "a channel has the number that others of its kind have": (
        """local a, t, b = channel.new(), {}, channel.new()
        return { ("%p"):format(a), tostring(t), ("%p"):format(b), ("%p"):format(t) }""",
        ["1", "table: 3", "2", "3"],
    ),
    "channels keep their identity and their order as keys": (
        """local a, b = channel.new(), channel.new()
        local t, names = { [b] = "b", [a] = "a" }, {}
        for ch, name in pairs(t) do names[#names + 1] = name end
        return names""",
        ["a", "b"],
    ),
    "plain coroutines work beside spawned ones": (
        """local co = coroutine.wrap(function(x) local y = coroutine.yield(x + 1) return y * 2 end)
        return { co(1), co(10) }""",
        [2, 20],
    ),
    "blocking inside a plain coroutine waits for the run": (
        """local ch = channel.new()
        coroutine.spawn(function() ch:send("v") end)
        local co = coroutine.wrap(function()
            local v = ch:receive()
            coroutine.yield(v)
            return "end"
        end)
        return { co(), co() }""",
        ["v", "end"],
    ),
}


@pytest.mark.parametrize("name", ORDER_CASES)
def test_coroutines_and_channels(name: str) -> None:
    """Each case names its claim."""
    code, expected = ORDER_CASES[name]
    assert result_of(code) == expected


def test_the_end_of_main_ends_the_rest() -> None:
    """Other coroutines are dropped, with what they wait for."""
    play = Play("""local time = require("time")
        return function()
            coroutine.spawn(function() time.sleep("1h") error("never") end)
            return 1
        end""")
    assert play.result == 1
    assert play.resolve(1).status == "ended"


def test_an_error_in_any_coroutine_fails_the_run() -> None:
    """Uncaught means failed, with the position and the user's stack."""
    play = Play("""local function inner() error("boom") end
        return function()
            coroutine.spawn(function() inner() end)
            return "not reached"
        end""")
    assert play.failure["message"] == "flow.lua:1: boom"
    assert play.failure["retryable"] is None
    assert play.failure["stack"].splitlines() == [
        "flow.lua:1: in inner",
        "flow.lua:3: in ?",
    ]


def test_a_plain_yield_of_the_main_coroutine_is_an_error() -> None:
    """Nobody could ever resume it."""
    play = Play("return function() coroutine.yield(1) end")
    assert "attempt to yield from outside a coroutine" in play.failure["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("channel.new():receive()", "flow.lua:1 waits in receive"),
        ("channel.select({})", "flow.lua:1 waits in select"),
        ("channel.new():send(1)", "flow.lua:1 waits in send"),
    ],
)
def test_a_deadlock_is_an_error_that_says_where(body: str, words: str) -> None:
    """Every coroutine waits and nothing can come."""
    play = Play("return function() " + body + " end")
    assert play.failure["message"].startswith("deadlock: ")
    assert words in play.failure["message"]
    assert play.failure["retryable"] is False


@pytest.mark.parametrize(
    "body",
    [
        "process.inbox():receive()",
        "process.events():receive()",
        'process.listen("x"):receive()',
        "channel.select({ process.inbox():case_receive() })",
        'require("time").sleep("1s")',
    ],
)
def test_waiting_for_the_outside_is_no_deadlock(body: str) -> None:
    """A message or a timer may come."""
    assert Play("return function() " + body + " end").last.status == "wait"


def test_waiting_inside_a_library_callback_says_so() -> None:
    """The C boundary cannot be crossed by a wait; the message says what to do."""
    play = Play("""local time = require("time")
        return function() ("abc"):gsub("a", function() time.sleep("1s") end) end""")
    assert "time.sleep cannot wait inside a callback" in play.failure["message"]
    assert play.commands == []


def test_ten_thousand_coroutines_wait_on_one_channel() -> None:
    """Queues are first in first out and removal is cheap."""
    assert (
        result_of("""
        local ch, n = channel.new(), 0
        for i = 1, 10000 do coroutine.spawn(function() local v = ch:receive() n = n + v end) end
        for i = 1, 10000 do ch:send(1) end
        coroutine.spawn(function() end)
        return n""")
        == 10000
    )


def test_a_select_loop_leaves_no_waiters_behind() -> None:
    """A case that lost is withdrawn from its channel: no value is given to it."""
    assert (
        result_of("""
        local quiet, busy = channel.new(), channel.new()
        coroutine.spawn(function() for i = 1, 1000 do busy:send(i) end end)
        local sum = 0
        for i = 1, 1000 do
            sum = sum + channel.select({ quiet:case_receive(), busy:case_receive() }).value
        end
        return sum""")
        == 500500
    )


def waiters(leave: str) -> str:
    """Many coroutines wait on one channel, then all leave it."""
    return f"""return function(n)
        process.set_options({{ interrupt_on_cancel = true }})
        local ch, other, left = channel.new(), channel.new(), 0
        for i = 1, n do
            coroutine.spawn(function() {leave} left = left + 1 end)
        end
        process.inbox():receive()
        coroutine.spawn(function() end)
        return left
    end"""


LEAVERS = {
    "receivers": "ch:receive()",
    "senders": "ch:send(1)",
    "selects": "channel.select({ ch:case_receive(), other:case_receive() })",
}


@pytest.mark.parametrize("how", LEAVERS)
def test_forty_thousand_waiters_leave_a_channel_in_no_time(how: str) -> None:
    """Cancelling them looks for none of them: twice as many take twice as long, not four times."""
    play = Play(source(waiters(LEAVERS[how])), 40_000, engine=roomy(waiters(LEAVERS[how])))
    before = time.process_time()
    play.cancel()
    assert play.result == 40_000
    assert time.process_time() - before < 3


def roomy(code: str) -> Engine:
    """An engine whose runs may hold many coroutines."""
    return Engine(source(code), cpu_seconds=60, memory_bytes=400 * 1024 * 1024)


def test_waiters_that_leave_from_the_middle_are_forgotten() -> None:
    """Who waited first is served first, whoever left in between; and nothing is left behind."""
    assert result_of("""
        local ch, exits, log = channel.new(), {}, {}
        for i = 1, 200 do
            exits[i] = channel.new()
            coroutine.spawn(function()
                local got = channel.select({ ch:case_receive(), exits[i]:case_receive() })
                if got.channel == ch then log[#log + 1] = i end
            end)
        end
        for i = 1, 200 do if i % 10 ~= 7 then exits[i]:send(true) end end
        for i = 1, 20 do ch:send(i) end
        coroutine.spawn(function() end)
        local full = channel.select({ ch:case_send(1), default = true })
        return { log, full.default }""") == [[i for i in range(1, 201) if i % 10 == 7], True]


def test_a_wait_on_a_channel_is_no_command_and_fits_in_a_full_decision() -> None:
    """What was not there when it looked cannot arrive before it waits."""
    play = Play("""return function()
        local ch = channel.new(5)
        coroutine.spawn(function()
            for i = 1, 520 do process.send(process.pid(), "t", i) end
            ch:send("v")
        end)
        return ch:receive()
    end""")
    assert play.last.status == "more"
    play.run.fresh = True
    play.step(b"more")
    assert play.result == "v"
    assert len(play.commands) == 520
