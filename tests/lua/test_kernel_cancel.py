"""Cancellation: an event with its reason; waits end only where the code asked for that."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import Play

HEAD = """
local funcs, time, workflow = require("funcs"), require("time"), require("workflow")
"""
INTERRUPT = HEAD + "return function() process.set_options({ interrupt_on_cancel = true })\n"


def test_cancel_is_an_event_with_a_reason_and_interrupts_nothing() -> None:
    """A sleep goes on; the event waits to be read."""
    play = Play(
        HEAD
        + """return function()
        time.sleep("1h")
        local e = process.events():receive()
        return { e.kind == process.event.CANCEL, e.reason, e.from }
    end"""
    )
    assert play.cancel("enough").status == "wait"
    play.resolve(1)
    assert play.result == [True, "enough", "{n@h|me}"]
    assert play.last.unread == []


def test_a_cancel_nobody_read_is_unread() -> None:
    """It is a message and listed as one."""
    play = Play(HEAD + 'return function() time.sleep("1h") return 1 end')
    play.cancel()
    play.resolve(1)
    assert len(play.last.unread) == 1


BLOCKED = {
    "a sleep": ('time.sleep("1h")', ["timer", "cancel_timer"]),
    "an activity": ('funcs.call("a:b")', ["activity", "cancel_activity"]),
    "a fan-out": (
        'select(2, funcs.map("a:b", {1, 2})) and nil, select(2, funcs.map("a:b", {1}))',
        ["activity", "activity", "cancel_activity", "cancel_activity"],
    ),
    "a receive": ("process.inbox():receive()", []),
    "a select": ("channel.select({ process.inbox():case_receive() })", []),
    "a message to another": ('process.send("{n@h|other}", "t", 1)', ["signal"]),
    "a request to cancel": ('process.cancel("{n@h|other}")', ["cancel"]),
    "a request to terminate": ('process.terminate("{n@h|other}")', ["terminate"]),
    "the start of a child": ('process.spawn("a:b", "w")', ["child", "cancel"]),
    "a send to a channel": ("channel.new():send(1)", []),
    "an await": ('workflow.await(function() return false end, "1h")', ["timer", "cancel_timer"]),
}


@pytest.mark.parametrize("name", BLOCKED)
def test_interrupted_waits_return_canceled(name: str) -> None:
    """With interrupt_on_cancel a wait gives way, and what it waited for is withdrawn."""
    code, ops = BLOCKED[name]
    play = Play(INTERRUPT + f"local v, err = {code}\nreturn {{ v == nil, err:kind() }} end")
    assert play.last.status == "wait"
    play.cancel()
    assert play.result == [True, "Canceled"]
    assert play.ops() == ops
    assert play.last.unread == []


def test_a_message_interrupted_after_a_wait_on_a_channel_leaves_the_channel_alone() -> None:
    """What a task waited for before is no business of its present wait."""
    play = Play(
        INTERRUPT
        + """
        local ch = channel.new()
        coroutine.spawn(function() ch:send(1) end)
        ch:receive()
        local _, err = process.send("{n@h|other}", "t")
        return err:kind()
    end"""
    )
    play.cancel()
    assert play.result == "Canceled"


def test_a_child_that_started_meanwhile_is_nobodys_news() -> None:
    """The request to cancel names it by its number; its start and the late outcomes are ignored."""
    play = Play(
        INTERRUPT
        + """
        local _, err = process.spawn("a:b", "w")
        workflow.shielded(function() time.sleep("1s") end)
        return err:kind()
    end"""
    )
    play.cancel()
    cancel = play.commands[1]
    assert (cancel.op, cancel.name) == ("cancel", None)
    assert cancel.extra == b'{"child":1,"reason":"parent canceled"}'
    assert play.step(b"child_started", 1, "{c@w|x}", None).status == "wait"
    play.resolve(3)
    assert play.result == "Canceled"


def test_a_spawned_coroutine_that_has_its_turn_is_not_woken_twice() -> None:
    """coroutine.spawn is no wait: the option set while one stands there changes nothing for it."""
    play = Play(
        HEAD
        + """return function()
        local log = {}
        process.events():receive()
        coroutine.spawn(function()
            process.set_options({ interrupt_on_cancel = true })
            log[#log + 1] = "child"
        end)
        log[#log + 1] = "parent"
        return log
    end"""
    )
    play.cancel()
    assert play.result == ["child", "parent"]


def test_later_waits_return_at_once_and_schedule_nothing() -> None:
    """The mark stays; what is ready is still given."""
    play = Play(
        INTERRUPT
        + """
        local ready = channel.new(1) ready:send("v")
        time.sleep("1h")
        local a, err = funcs.call("a:b")
        local b, err2 = time.sleep("1s")
        local c = ready:receive()
        return { err:kind(), err2:kind(), c }
    end"""
    )
    play.cancel()
    assert play.result == ["Canceled", "Canceled", "v"]
    assert play.ops() == ["timer", "cancel_timer"]


def test_shielded_code_is_left_alone() -> None:
    """Cleanup runs to its end inside workflow.shielded, and returns its values."""
    play = Play(
        INTERRUPT
        + """
        local _, err = time.sleep("1h")
        local a, b = workflow.shielded(function(x)
            return funcs.call("a:cleanup", x), "two"
        end, 7)
        local _, later = time.sleep("1s")
        return { err:kind(), a, b, later:kind() }
    end"""
    )
    play.cancel()
    assert play.commands[-1][:4] == ("activity", 3, b"a:cleanup", b"[7]")
    play.resolve(3, "clean")
    assert play.result == ["Canceled", "clean", "two", "Canceled"]


def test_a_shield_ends_with_an_error_inside_it() -> None:
    """The error passes on as the object it was."""
    play = Play(
        INTERRUPT
        + """
        local e = errors.new({ message = "m", kind = "Conflict" })
        local ok, err = pcall(workflow.shielded, function() error(e) end)
        time.sleep("1h")
        return { ok, err == e }
    end"""
    )
    play.cancel()
    assert play.result == [False, True]


def test_wait_for_cancellation_waits_for_the_activity() -> None:
    """The request goes out; the call returns when the activity ended."""
    play = Play(
        INTERRUPT
        + """
        local slow = funcs.new():with_options({ ["activity.wait_for_cancellation"] = true })
        local v, err = slow:call("a:b")
        return { v == nil, err:message() }
    end"""
    )
    assert play.cancel().status == "wait"
    assert play.ops() == ["activity", "cancel_activity"]
    play.fail(1, kind="Canceled", message="cleaned up", retryable=False)
    assert play.result == [True, "cleaned up"]


def test_a_child_that_is_waited_for_is_asked_to_cancel() -> None:
    """process.exec gives way and passes the request on."""
    play = Play(
        INTERRUPT
        + """
        local v, err = process.exec("a:b", "w")
        return err:kind()
    end"""
    )
    play.step(b"child_started", 1, "{c@w|x}", None)
    play.cancel()
    assert play.commands[-1].op == "cancel"
    assert play.commands[-1].name == b"{c@w|x}"
    assert play.result == "Canceled"


def test_the_option_set_after_the_request_counts_too() -> None:
    """A coroutine that reads the event may decide to interrupt the others."""
    play = Play(
        HEAD
        + """return function()
        coroutine.spawn(function()
            process.events():receive()
            process.set_options({ interrupt_on_cancel = true })
        end)
        local _, err = time.sleep("1h")
        return err:kind()
    end"""
    )
    play.cancel()
    assert play.result == "Canceled"


def test_returning_the_canceled_error_fails_with_its_kind() -> None:
    """The host closes such a run as CANCELED."""
    play = Play(INTERRUPT + 'local _, err = time.sleep("1h") return nil, err end')
    play.cancel()
    assert play.failure["kind"] == "Canceled"
    assert play.failure["retryable"] is False


def test_commands_that_do_not_wait_still_work_after_a_cancel() -> None:
    """Attributes, answers to updates, messages to oneself, uuids and timers are no waits."""
    play = Play(
        INTERRUPT
        + """
        local m = process.inbox():receive()
        time.sleep("1h")
        local sent = process.send(process.pid(), "note")
        process.send(m:from(), "ack")
        local answered = process.send(m:from(), "ok", 1)
        local t = time.timer("1h")
        return { workflow.attrs({ memo = { a = 1 } }), sent, answered, require("uuid").v4(),
            t:stop() }
    end"""
    )
    play.message("add", kind="update", update="u1")
    play.cancel()
    assert play.result == [True, True, True, "<uuid>", True]
