"""Messages: who gets them, what is kept, what was left unread, the poll that looks ahead."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import PID, Play

LISTEN_LATE = """
local time = require("time")
return function()
    time.sleep("1s")
    local orders = process.listen("orders")
    local a = orders:receive()
    local inbox = process.inbox()
    local b = inbox:receive()
    local c = orders:receive()
    return { a, b:topic(), b:payload():data(), c }
end
"""


def test_messages_before_the_first_listener_are_kept_in_order() -> None:
    """Exact topic first, then the inbox, nothing lost because nobody listened yet."""
    play = Play(LISTEN_LATE)
    play.message("orders", 1)
    play.message("other", "x")
    play.message("orders", 2)
    play.resolve(1)
    assert play.result == [1, "other", "x", 2]
    assert play.last.unread == []


def test_unread_messages_are_named_by_event_id() -> None:
    """Kept ones, queued ones and those not fed yet, in order."""
    play = Play("""return function()
        local orders = process.listen("orders")
        orders:receive()
        return "done"
    end""")
    rows = [play.row("orders", 1), play.row("orders", 2), play.row("nobody"), play.row("orders", 3)]
    play.ahead(rows[2], rows[0], rows[1], rows[3])
    assert play.step(b"message").status == "wait"
    play.step(b"message")
    assert play.result == "done"
    assert play.last.unread == sorted([rows[2][1], rows[1][1], rows[3][1]])


def test_listen_twice_is_the_same_channel() -> None:
    """Identity of channels is stable."""
    play = Play("""return function()
        return { process.listen("a") == process.listen("a"), process.inbox() == process.inbox(),
            process.events() == process.events(), process.listen("a") == process.listen("b") }
    end""")
    assert play.result == [True, True, True, False]


def test_message_objects() -> None:
    """topic, from, payload in its three shapes, tostring."""
    play = Play("""return function()
        local inbox, out = process.inbox(), {}
        for i = 1, 3 do
            local m = inbox:receive()
            local p = m:payload()
            if i == 1 then out[i] = { m:topic(), m:from(), p == nil, tostring(m) }
            elseif i == 2 then out[i] = { p:data().k, tostring(p), p:get_format() }
            else out[i] = { p[1]:data(), p[2]:data() } end
        end
        return out
    end""")
    play.message("none")
    play.message("one", {"k": 1})
    play.message("two", "a", "b")
    assert play.result == [
        ["none", "{n@h|me}", True, "process.Message{topic=none}"],
        [1, "payload{format=json/plain}", "json/plain"],
        ["a", "b"],
    ]


def test_raw_and_message_mode_of_listeners() -> None:
    """Raw listeners get the value, the others a Message."""
    play = Play("""return function()
        local raw, full = process.listen("raw"), process.listen("full", { message = true })
        local a, b, c, d = raw:receive(), raw:receive(), raw:receive(), full:receive()
        return { a, b == nil, c, d:payload():data() }
    end""")
    play.message("raw", 1)
    play.message("raw")
    play.message("raw", "x", "y")
    play.message("full", 5)
    assert play.result == [1, True, ["x", "y"], 5]


def test_unlisten_closes_and_later_messages_go_to_the_inbox() -> None:
    """After unlisten the topic is nobody's again."""
    play = Play("""return function()
        local ch = process.listen("t")
        assert(process.unlisten(ch))
        local v, ok = ch:receive()
        return { v == nil, ok, process.inbox():receive():topic() }
    end""")
    play.message("t", 1)
    assert play.result == [True, False, "t"]


def test_bad_topics_are_invalid() -> None:
    """Empty topics and those of the system cannot be listened to or sent."""
    play = Play("""return function()
        local out = {}
        for _, topic in ipairs({ "", "@x" }) do
            local ch, err = process.listen(topic)
            out[#out + 1] = { ch == nil, err:kind() }
            local sent, why = process.send("{a|b}", topic)
            out[#out + 1] = { sent == nil, why:kind() }
        end
        return out
    end""")
    assert play.result == [[True, "Invalid"]] * 4


def test_system_topics_never_fall_into_the_inbox() -> None:
    """They stay in the mailbox."""
    play = Play("return function() return process.inbox():receive():topic() end")
    assert play.message("@system").status == "wait"
    play.message("mine")
    assert play.result == "mine"
    assert len(play.last.unread) == 1


def test_subscribe_with_a_channel_of_your_own() -> None:
    """The global subscribe feeds any channel and never loses for lack of room."""
    play = Play("""return function()
        local ch = channel.new(1)
        subscribe("t", ch)
        local a, b, c = ch:receive(), ch:receive(), ch:receive()
        unsubscribe(ch)
        return { a, b, c }
    end""")
    play.ahead(play.row("t", 1), play.row("t", 2), play.row("t", 3))
    for _ in range(3):
        play.step(b"message")
    assert play.result == [1, 2, 3]


POLL = """
local time = require("time")
return function()
    local inbox, seen = process.inbox(), {}
    inbox:receive()
    while true do
        local r = channel.select({ inbox:case_receive(), default = true })
        if r.default then break end
        seen[#seen + 1] = r.value:payload():data()
    end
    return { seen, time.now():unix_nano() }
end
"""


def test_a_poll_takes_the_batch_ahead() -> None:
    """Before `default`, messages of the batch not yet fed come in, and the clock with them."""
    play = Play(POLL)
    rows = [play.row("m", n) for n in range(4)]
    assert play.ahead(*rows).ahead == 4
    assert play.step(b"message").ahead == 0
    assert play.result == [[1, 2, 3], rows[-1][0] * 1_000_000] or play.result[0] == [1, 2, 3]
    assert play.last.unread == []


def test_ahead_counts_down() -> None:
    """Without a poll each message is an activation of its own."""
    play = Play("return function() local i = process.inbox() i:receive() i:receive() return 1 end")
    play.ahead(play.row("a"), play.row("b"))
    assert play.step(b"message").ahead == 1
    assert play.step(b"message").ahead == 0
    assert play.result == 1


def test_a_message_to_oneself_is_a_command_and_does_not_wait() -> None:
    """It comes back through the history."""
    play = Play("""return function()
        local ok = process.send(process.pid(), "note", 7)
        return { ok, process.inbox():receive():payload():data() }
    end""")
    assert play.commands[0][:4] == ("signal", 1, PID.encode(), b"[7]")
    play.message("note", 7)
    assert play.result == [True, 7]


def test_destinations() -> None:
    """A name goes out to be resolved; what is neither PID nor name is NotFound at once."""
    play = Play("""return function()
        local ok, err = process.send("{broken", "t")
        local ok2, err2 = process.send("boss", "t")
        return { ok == nil, err:kind(), err:message(), ok2 == nil, err2:kind() }
    end""")
    assert [c.name for c in play.commands] == [b"boss"]
    play.fail(1, kind="NotFound", message="nobody", retryable=False)
    assert play.result == [
        True,
        "NotFound",
        "could not resolve '{broken' as PID or registered name",
        True,
        "NotFound",
    ]


def test_updates_are_answered_in_order() -> None:
    """ack before ok; anything else is refused."""
    play = Play("""return function()
        local m = process.inbox():receive()
        local out = { m:topic(), m:from() }
        out[3] = process.send(m:from(), "ack")
        out[4] = process.send(m:from(), "ok", { n = 1 })
        local late, err = process.send(m:from(), "error", "late")
        out[5], out[6] = late == nil, err:kind()
        local _, unknown = process.send("{update|zz}", "ack")
        out[7] = unknown:kind()
        return out
    end""")
    play.message("add", 1, kind="update", update="u1")
    assert play.result == ["add", "{update|u1}", True, True, True, "Invalid", "Invalid"]
    assert [(c.op, c.name, c.data, c.extra) for c in play.commands] == [
        ("accept_update", b"u1", b"null", b'{"step":"ack"}'),
        ("complete_update", b"u1", b'{"n":1}', b'{"step":"ok"}'),
    ]


UNSUBSCRIBED = {
    "before the wait": """
        subscribe("t", ch)
        unsubscribe(ch)
        ch:receive()""",
    "during the wait": """
        subscribe("t", ch)
        coroutine.spawn(function() unsubscribe(ch) end)
        ch:receive()""",
    "in a select": """
        subscribe("t", ch)
        coroutine.spawn(function() channel.new():receive() end)
        coroutine.spawn(function() unsubscribe(ch) end)
        channel.select({ channel.new():case_receive(), ch:case_receive() })""",
    "a channel that only sends": """
        subscribe("t", ch)
        channel.select({ ch:case_send(1) })""",
    "a listener without its topic": """
        local heard = process.listen("t")
        unsubscribe(heard)
        heard:receive()""",
}


@pytest.mark.parametrize("how", UNSUBSCRIBED)
def test_a_channel_that_no_message_reaches_is_a_deadlock(how: str) -> None:
    """After unsubscribe a wait there is for other coroutines only."""
    play = Play(f"return function() local ch = channel.new() {UNSUBSCRIBED[how]} end")
    assert play.failure["message"].startswith("deadlock: ")


@pytest.mark.parametrize(
    "body",
    [
        'local ch = channel.new() subscribe("a", ch) subscribe("b", ch) ch:receive()',
        'local i = process.inbox() subscribe("t", i) unsubscribe(i) i:receive()',
        "local e = process.events() unsubscribe(e) e:receive()",
        """local ch = channel.new()
        coroutine.spawn(function() subscribe("t", ch) end)
        coroutine.spawn(function() ch:receive() end)
        channel.new():receive()""",
        """local ch = channel.new()
        coroutine.spawn(function() ch:receive() end)
        subscribe("t", ch)
        channel.new():receive()""",
    ],
)
def test_a_channel_that_a_message_can_reach_is_none(body: str) -> None:
    """Whether it was subscribed before somebody waited there or after."""
    assert Play(f"return function() {body} end").last.status == "wait"


def test_what_arrived_before_unsubscribe_is_still_a_message() -> None:
    """It waits in the channel and is taken as what it was sent."""
    play = Play("""return function()
        local ch = channel.new(3)
        subscribe("t", ch)
        require("time").sleep("1s")
        unsubscribe(ch)
        return { ch:receive(), (ch:receive()) }
    end""")
    play.message("t", 1)
    play.message("t", "two")
    play.resolve(1)
    assert play.result == [1, "two"]
    assert play.last.unread == []


def test_options_are_set_as_they_were_judged() -> None:
    """What __pairs shows is what counts, not what the table holds besides."""
    play = Play("""return function()
        local sly = setmetatable({ trap_links = "x", interrupt_on_cancel = {} },
            { __pairs = function() return next, { upgradable = true } end })
        local set = process.set_options(sly)
        return { set, process.get_options() }
    end""")
    assert play.result == [
        True,
        {"trap_links": False, "interrupt_on_cancel": False, "upgradable": True},
    ]
