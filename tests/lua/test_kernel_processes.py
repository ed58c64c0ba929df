"""The kernel of functions and processes: mailbox, events, cancellation, links, exchange of code."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.lua.support_kernel import Play
from tests.support.mutants import altered_kernel, kernel_mutant, proves

NODE_PID = "{n0123456789ab@app:f|1f}"
FAILED = orjson.dumps(
    {
        "kind": "pid.link.down",
        "from": "{x|y}",
        "result": {"error": {"$lf": "error", "v": {"kind": "K", "message": "m"}}},
    }
)


def play(code: str, *args: Any, **how: Any) -> Play:
    services = {"upgrade": lambda _id: (None,)}
    return Play(code, *args, kind="function", info={"pid": NODE_PID}, services=services, **how)


def deliver(one: Play, topic: str, *payloads: Any, sender: str = "{a|b}") -> None:
    one.step(b"deliver", topic.encode(), sender.encode(), orjson.dumps(payloads))


def test_mail_goes_to_the_listener_else_the_inbox_else_is_kept() -> None:
    """Rule 7: nothing is lost, '@' topics never reach the inbox, order stays."""
    one = play(
        """return function()
        channel.new(0)
        local go = process.listen("go")
        go:receive()
        local out, inbox, late = {}, process.inbox(), process.listen("late")
        for i = 1, 2 do out[i] = inbox:receive():topic() end
        out[3], out[4] = late:receive(), late:receive()
        local at = channel.new(1)
        subscribe("@system", at)
        out[5] = at:receive()
        return out
    end"""
    )
    deliver(one, "first")
    deliver(one, "late", 1)
    deliver(one, "@system", "s")
    deliver(one, "late", 2)
    deliver(one, "second")
    assert one.last.status == "wait"
    deliver(one, "go")
    assert one.last.status == "wait"  # what had come before the listener went to the inbox
    deliver(one, "late", 3)
    deliver(one, "late", 4)
    assert one.result[:2] == ["first", "late"]
    assert one.result[2:] == [3, 4, "s"]


def test_mail_before_the_beginning_is_there_when_code_begins() -> None:
    """Startup messages: a poll at the first line finds them."""
    one = play(
        """return function()
        local case = channel.select({process.inbox():case_receive(), default = true})
        return case.value and case.value:topic()
    end""",
        start=False,
    )
    deliver(one, "early")
    assert one.last.status == "wait"
    one.step(b"start", [], {})
    assert one.result == "early"


def test_events_have_their_fields_and_a_payload() -> None:
    """kind, from, at, result with plain value or error object; event:payload() says the same."""
    one = play(
        """return function()
        local e = process.events():receive()
        local d = e:payload():data()
        local n = 0
        for key in pairs(e) do n = n + 1 end
        return { e.kind, e.from, type(e.at), e.result.error:kind(), d.kind, n }
    end"""
    )
    one.step(b"event", FAILED)
    assert one.result == ["pid.link.down", "{x|y}", "string", "K", "pid.link.down", 4]


@pytest.mark.parametrize("trap", [True, False])
def test_a_broken_link(trap: bool) -> None:
    """An event with trap_links, else the end."""
    one = play(
        """return function(trap)
        process.set_options({trap_links = trap})
        return process.events():receive().kind
    end""",
        trap,
    )
    one.step(b"link_down", FAILED)
    if trap:
        assert one.result == "pid.link.down"
    else:
        assert one.failure["message"] == "linked process failed"


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("process.events()", True),
        ("process.set_options({interrupt_on_cancel = true})", True),
        ("process.inbox()", False),
        ("process.listen('an event came'):receive()", False),
    ],
)
def test_a_cancelled_call_is_told_where_it_looks(first: str, told: bool) -> None:
    """Code that asked for events or interruption goes on; other code ends where it stands."""
    one = play(
        'local time = require("time")\nreturn function() '
        + first
        + """
        local _, err = time.sleep("1h")
        return { err and err:kind(), process.events():receive().kind }
    end"""
    )
    if "event came" in first:
        one.step(b"event", FAILED)  # which nobody looks at
        deliver(one, "an event came")
    one.step(b"cancel_call", b"", b"")
    if told:
        assert one.last.status == "wait" or one.result == ["Canceled", "pid.cancel"]
    else:
        assert one.failure["kind"] == "Canceled"


def test_belongings_of_an_upgrade_are_taken_over() -> None:
    """What nobody took, in order, with events and options; what was taken is not there again."""
    one = play(
        """return function()
        process.set_options({trap_links = true})
        process.inbox()
        local late = process.listen("late", {message = true})
        process.listen("go"):receive()
        process.upgrade(nil, "again")
    end"""
    )
    deliver(one, "a", 1)
    one.step(b"event", FAILED)
    deliver(one, "late", None, 2)
    deliver(one, "go")
    assert one.last.status == "continued"
    command = one.last.commands[-1]
    assert (command.op, command.data) == ("continue_as_new", b'["again"]')
    two = play(
        """return function(...)
        local inbox, events = process.inbox(), process.events()
        local a, b, e = inbox:receive(), inbox:receive(), events:receive()
        local rest = channel.select({inbox:case_receive(), events:case_receive(), default = true})
        local second = b:payload()[2]:data()
        return { a:topic(), b:topic(), #b:payload(), second, e.result.error:message(),
          rest.default, process.get_options().trap_links, ... }
    end""",
        start=False,
    )
    two.step(b"inherit", command.extra)
    two.step(b"start", command.data, {})
    assert two.result == ["a", "late", 2, 2, "m", True, True, "again"]


@pytest.mark.parametrize("replaying", [False, True])
def test_a_workflow_tells_a_process_without_waiting(replaying: bool) -> None:
    """The command leaves with the decision; the code goes on in the same activation."""
    one = Play(
        f"""return function()
        local out = {{
          process.send("{NODE_PID}", "t", 1, 2), process.cancel("{NODE_PID}", "why"),
          process.terminate("{NODE_PID}"),
        }}
        return out
    end""",
        replaying=replaying,
    )
    assert one.last.status == "done"
    assert [(c.op, c.name) for c in one.commands] == [("tell", NODE_PID.encode())] * 3
    said = [orjson.loads(c.extra or b"") for c in one.commands]
    assert said == [
        {"kind": "message", "topic": "t"},
        {"kind": "cancel", "reason": "why"},
        {"kind": "terminate"},
    ]
    if not replaying:
        assert one.commands[0].data == b"[1,2]"
        assert one.result == [True, True, True]


@pytest.mark.parametrize(
    "pid",
    ["{app:client@app:worker|w}", "{w0123abcd@app:f|1}", "{n0123@app:f|1}", "{nzzzzzzzzzzzz@a|1}"],
)
def test_other_pids_are_asked_as_ever(pid: str) -> None:
    """Histories of older releases hold such sends: they stay what they were."""
    one = Play(f'return function() return process.send("{pid}", "t") end')
    assert one.ops() == ["signal"]
    assert one.last.status == "wait"


def test_a_function_gives_exec_up_without_cancelling_the_child() -> None:
    """Its own interruption ends the wait; a workflow's child is asked to end."""
    code = """return function()
        process.set_options({interrupt_on_cancel = true})
        local _, err = process.exec("app:x", "app:h")
        return err:kind()
    end"""
    one = play(code)
    one.step(b"cancel", b"{a|b}", b"why")
    assert one.ops() == ["child"]
    assert one.result == "Canceled"
    other = Play(code)
    other.cancel()
    assert other.ops() == ["child", "cancel"]


@proves(kernel_mutant("processes", "if received - run.took <= MAX_MAIL then", "if true then"))
async def test_a_mailbox_has_a_bound() -> None:
    """Messages that are taken do not count; too many that are not end the process, and only it."""
    with altered_kernel("processes", "MAX_MAIL = 100000", "MAX_MAIL = 3"):
        one = play(
            """return function()
            local inbox = process.inbox()
            for _ = 1, 10 do inbox:receive() end
            process.listen("end"):receive()
        end"""
        )
    for _ in range(10):
        deliver(one, "taken")
    for _ in range(3):
        deliver(one, "left")
    assert one.last.status == "wait"
    deliver(one, "left")
    assert one.failure["kind"] == "RateLimited"
