"""Queries, updates with a handler and views, as the kernel has them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.lua.support_kernel import Play, result_of

from luaflow.lua.vm import Activation, ActivationFault, Command

HEAD = 'local workflow = require("workflow")\nlocal time = require("time")\nreturn function()\n'


def play(body: str, **how: Any) -> Play:
    """A workflow of this body."""
    return Play(HEAD + body + "\nend", **how)


def ask(run: Play, name: str, *args: Any, op: bytes = b"query") -> Activation:
    """Ask it, as a worker does."""
    run.run.replaying = True
    return run.run.step(op, run.now, run.length, run.size, name.encode(), orjson.dumps(args))


def answer(run: Play, name: str, *args: Any) -> Any:
    """The answer to a query."""
    out = ask(run, name, *args)
    assert out.status == "done", out
    return orjson.loads(out.result or b"")


def refusal(run: Play, name: str, *args: Any, op: bytes = b"query") -> dict[str, Any]:
    """The failure of a query, or of a validator."""
    out = ask(run, name, *args, op=op)
    assert out.status == "failed", out
    failure: dict[str, Any] = orjson.loads(out.failure or b"")
    return failure


def update(run: Play, name: str, update_id: str, *args: Any) -> Activation:
    """An update comes."""
    return run.message(name, *args, kind="update", update=update_id, sender="")


def said(commands: list[Command]) -> list[tuple[str, str, Any]]:
    """The answers to updates: operation, id, value."""
    return [
        (c.op, (c.name or b"").decode(), orjson.loads(c.data or b"null"))
        for c in commands
        if c.op.endswith("_update")
    ]


WAIT = "\nprocess.inbox():receive()"


# -- queries ---------------------------------------------------------------------------------------


def test_a_query_sees_the_state_of_the_code() -> None:
    """It gets arguments and answers a value; a nil is an answer, too."""
    run = play(
        'local n = 7 workflow.on_query("n", function(a, b) return { n, a, b } end)'
        'workflow.on_query("nothing", function() end)' + WAIT
    )
    assert answer(run, "n", 1, {"x": "y"}) == [7, 1, {"x": "y"}]
    assert answer(run, "nothing") is None


def test_a_query_works_when_the_code_has_ended() -> None:
    """What a closed run can tell it tells; its stack is empty."""
    run = play('workflow.on_query("n", function() return 7 end) return 1')
    assert run.result == 1
    assert answer(run, "n") == 7
    assert answer(run, "__stack_trace") == ""


def test_the_stack_is_a_query() -> None:
    """Where every coroutine waits, as `luaflow workflow stack` shows it."""
    assert answer(play('time.sleep("1h")'), "__stack_trace") == "flow.lua:4: waits in sleep"


def test_an_unknown_query_lists_those_there_are() -> None:
    """In order, without luaflow's own first."""
    out = ask(play('workflow.on_query("b", print) workflow.on_query("a", print)' + WAIT), "nix")
    assert out.status == "unknown"
    assert out.result == b"the workflow has no query 'nix'; it has a, b (and __stack_trace)"
    assert b"it has none (" in (ask(play(WAIT), "nix").result or b"")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("time.sleep(1)", "time.sleep is not allowed inside a query"),
        ("process.send(process.pid(), 'x')", "process.send is not allowed inside a query"),
        ("workflow.exec('a:b')", "is not allowed inside a query"),
        ("require('uuid').v4()", "uuid.v4 is not allowed inside a query"),
        (
            "require('uuid').v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'x')",
            "this call is not allowed inside a query",
        ),
        ("workflow.version('c', 1, 2)", "workflow.version is not allowed inside a query"),
        ("workflow.side_effect(function() end)", "is not allowed inside a query"),
        ("workflow.await(function() return false end)", "is not allowed inside a query"),
        ("workflow.continue_as_new()", "continue_as_new is not allowed inside a query"),
        ("coroutine.spawn(function() end)", "is not allowed inside a query"),
        ("channel.new(1):send(1)", "channel:send is not allowed inside a query"),
        ("workflow.set_view('v', 1)", "workflow.set_view is not allowed inside a query"),
        ("workflow.on_query('v', print)", "workflow.on_query is not allowed inside a query"),
        ("workflow.on_update('v', print)", "workflow.on_update is not allowed inside a query"),
        ("workflow.attrs({ memo = {} })", "workflow.attrs is not allowed inside a query"),
        ("coroutine.yield()", "attempt to yield from outside a coroutine"),
        ("error('no way')", "no way"),
        ("return nil, 'nothing here'", "nothing here"),
        ("return nil, errors.new({ message = 'gone', kind = errors.NOT_FOUND })", "gone"),
        ("return print", "the answer: a function cannot leave the code"),
        ("workflow.shielded(error, 'shielded')", "shielded"),
    ],
)
def test_a_query_changes_nothing(code: str, says: str) -> None:
    """Commands, waits, sends and registrations are refused, and nothing of them is left."""
    run = play(f'workflow.on_query("q", function() {code} end)' + WAIT)
    out = ask(run, "q")
    assert out.status == "failed"
    assert out.commands == []
    assert says in orjson.loads(out.failure or b"")["message"]


def test_a_query_that_does_not_end_is_stopped() -> None:
    """Its budget is that of an activation."""
    run = play('workflow.on_query("q", function() while true do end end)' + WAIT)
    with pytest.raises(ActivationFault, match="too long"):
        ask(run, "q")


# -- updates ---------------------------------------------------------------------------------------

ADD = """local total = 0
workflow.on_update("add", function(n, how)
    if how then time.sleep(how) end
    if n == 0 then return nil, "nothing to add" end
    if n == 13 then error("unlucky") end
    total = total + n
    return total
end, function(n)
    if n < 0 then return nil, "negative" end
    if n > 100 then error("too much") end
    if n == 42 then return false end
end)
"""


def test_a_handler_answers_in_the_same_activation() -> None:
    """Accepted, then completed by what it returns; an error by its second value, or raised."""
    run = play(ADD + WAIT)
    update(run, "add", "u1", 4)
    update(run, "add", "u2", 0)
    update(run, "add", "u3", 13)
    assert [(op, name) for op, name, _ in said(run.commands)] == [
        ("accept_update", "u1"),
        ("complete_update", "u1"),
        ("accept_update", "u2"),
        ("complete_update", "u2"),
        ("accept_update", "u3"),
        ("complete_update", "u3"),
    ]
    ok, no, raised = (value for op, _, value in said(run.commands) if op == "complete_update")
    assert ok == 4
    assert no["v"]["message"] == "nothing to add"
    assert raised["v"]["message"].endswith("unlucky")
    steps = [orjson.loads(c.extra or b"")["step"] for c in run.commands if c.op != "validators"]
    assert steps == ["ack", "ok", "ack", "error", "ack", "error"]


def test_handlers_run_side_by_side() -> None:
    """Each update has a coroutine of its own: one that waits keeps no other from ending."""
    run = play(ADD + WAIT)
    update(run, "add", "slow", 1, "1s")
    update(run, "add", "quick", 2)
    assert said(run.commands)[-1] == ("complete_update", "quick", 2)
    (timer,) = (c for c in run.commands if c.op == "timer")
    run.resolve(timer.seq)
    assert said(run.commands)[-1] == ("complete_update", "slow", 3)


def test_a_handler_is_not_shielded_by_whoever_looks() -> None:
    """An update that is fed while shielded code polls can be interrupted all the same."""
    run = play(
        """process.set_options({ interrupt_on_cancel = true })
        workflow.on_update("u", function()
            local _, err = time.sleep("1h")
            return err and err:kind() or "slept"
        end)
        local go = process.listen("go")
        go:receive()
        workflow.shielded(function() channel.select({ go:case_receive() }, true) end)
        workflow.shielded(function() time.sleep("1h") end)"""
    )
    rows = [run.row("go"), run.row("u", kind="update", update="u1", sender="")]
    run.ahead(*rows)
    run.step(b"message")
    run.cancel()
    assert said(run.commands)[-1] == ("complete_update", "u1", "Canceled")


def test_a_validator_rejects() -> None:
    """By an error, a raise or false; the handler is not called."""
    run = play(ADD + 'workflow.on_query("total", function() return total end)' + WAIT)
    for n, update_id in ((-1, "u1"), (101, "u2"), (42, "u3")):
        update(run, "add", update_id, n)
    rejected = said(run.commands)
    assert [(op, name) for op, name, _ in rejected] == [
        ("reject_update", "u1"),
        ("reject_update", "u2"),
        ("reject_update", "u3"),
    ]
    assert [v["v"]["message"].rpartition(": ")[2] for _, _, v in rejected] == [
        "negative",
        "too much",
        "the validator refused it",
    ]
    assert answer(run, "total") == 0


def test_a_validator_judges_on_a_run_that_is_thrown_away() -> None:
    """The same words before it is recorded; without a validator everything is fine."""
    run = play(ADD + 'workflow.on_update("free", function() end)' + WAIT)
    before = list(run.commands)
    assert refusal(run, "add", -1, op=b"validate")["message"] == "negative"
    assert refusal(run, "add", 101, op=b"validate")["message"].endswith("too much")
    for name, n in (("add", 5), ("free", -1), ("unknown", 1)):
        assert ask(run, name, n, op=b"validate").status == "done"
    assert run.commands == before


@pytest.mark.parametrize("op", [b"message", b"validate"])
def test_a_validator_changes_nothing(op: bytes) -> None:
    """It is as pure as a query, wherever it runs: what it must not do rejects the update."""
    run = play('workflow.on_update("u", function() end, function() time.sleep(1) end)' + WAIT)
    if op == b"validate":
        message = refusal(run, "u", op=op)["message"]
    else:
        update(run, "u", "u1")
        ((how, _, value),) = said(run.commands)
        assert how == "reject_update"
        message = value["v"]["message"]
    assert "time.sleep is not allowed inside the validator of an update" in message
    assert "timer" not in run.ops()


def test_clients_are_told_which_updates_are_judged() -> None:
    """A note with the commit, without a number; none where there is no validator."""
    run = play(ADD + 'workflow.on_update("b", print) workflow.on_update("a", print, print)' + WAIT)
    notes = [(c.seq, orjson.loads(c.data or b"")) for c in run.commands if c.op == "validators"]
    assert notes == [(0, ["a", "add"])]
    assert play('workflow.on_update("b", print)' + WAIT).commands == []


def test_an_update_waits_for_its_handler() -> None:
    """One that came before is not lost; a signal of its name is a message like any other."""
    run = play('time.sleep("1s")\n' + ADD + WAIT + WAIT)
    update(run, "add", "u1", 4)
    run.message("add", 9)
    assert said(run.commands) == []
    run.resolve(1)
    assert said(run.commands)[-1] == ("complete_update", "u1", 4)
    run.message("other")
    assert run.last.status == "done"


def test_an_update_without_handler_is_a_message() -> None:
    """It comes with the address to answer to; nobody answers twice."""
    run = play("""local m = process.inbox():receive()
        local out = { process.send(m:from(), "nak", "no"), process.send(m:from(), "ok", 1) == nil }
        return out""")
    update(run, "x", "u1")
    assert run.result == [True, True]
    assert said(run.commands) == [("reject_update", "u1", "no")]


def test_an_update_is_unread_until_it_is_answered() -> None:
    """Taken is not answered: a run that continues as new hands it on, once accepted no more."""
    run = play("""local inbox = process.inbox()
        inbox:receive()
        local accepted = inbox:receive()
        process.send(accepted:from(), "ack")
        inbox:receive()
        return workflow.continue_as_new()""")
    taken = run.length + 1
    update(run, "x", "taken")
    update(run, "x", "accepted")
    run.message("plain")
    assert run.last.status == "continued"
    extra = orjson.loads(run.commands[-1].extra or b"")
    assert extra["unread"] == [taken]


def test_a_workflow_that_only_answers_updates_waits() -> None:
    """A handler may be what wakes it: that is no deadlock."""
    run = play("""local done = false
        workflow.on_update("stop", function() done = true return "bye" end)
        workflow.await(function() return done end)
        return "stopped" """)
    assert run.last.status == "wait"
    update(run, "stop", "u1")
    assert run.result == "stopped"
    assert said(run.commands)[-1] == ("complete_update", "u1", "bye")


def test_code_can_wait_for_its_handlers() -> None:
    """One it has not answered is one, accepted or not; rejected and completed ones are none."""
    run = play(
        ADD
        + """
        process.listen("stop"):receive()
        workflow.await(workflow.all_handlers_finished)
        return total"""
    )
    update(run, "add", "rejected", -1)
    update(run, "add", "quick", 1)
    update(run, "add", "slow", 2, "1s")
    update(run, "other", "by hand")
    run.message("stop")
    assert run.last.status == "wait"
    (timer,) = (c for c in run.commands if c.op == "timer")
    assert run.resolve(timer.seq).status == "wait"
    assert result_of("return require('workflow').all_handlers_finished()", kind="function") is True


def test_handlers_that_are_finished() -> None:
    """The last one lets the workflow end."""
    run = play(
        ADD
        + """
        process.listen("stop"):receive()
        workflow.await(workflow.all_handlers_finished)
        return total"""
    )
    update(run, "add", "slow", 2, "1s")
    run.message("stop")
    (timer,) = (c for c in run.commands if c.op == "timer")
    run.resolve(timer.seq)
    assert run.result == 2


def test_an_answer_that_cannot_travel_is_an_error() -> None:
    """The update fails with what is wrong, and does not stay open."""
    run = play('workflow.on_update("u", function() return print end)' + WAIT)
    update(run, "u", "u1")
    op, _, value = said(run.commands)[-1]
    assert op == "complete_update"
    assert "a function cannot leave the code" in value["v"]["message"]


# -- views -----------------------------------------------------------------------------------------


def views(commands: list[Command]) -> list[tuple[int, str, str, Any]]:
    """The notes of views."""
    return [
        (c.seq, c.op, (c.name or b"").decode(), orjson.loads(c.data) if c.data else None)
        for c in commands
        if c.op in ("view", "views")
    ]


def test_the_last_value_of_a_decision_is_shown() -> None:
    """A view is no command: it has no number, and takes none from those that have."""
    run = play("""for i = 1, 3 do workflow.set_view("at", i) end
        time.sleep(1)
        workflow.set_view("at", 3)
        time.sleep(1)
        workflow.set_view("at", nil)
        time.sleep(1)""")
    assert views(run.commands) == [(0, "view", "at", 3), (0, "views", "", ["at"])]
    assert [c.seq for c in run.commands if c.op == "timer"] == [1]
    run.commands.clear()
    run.resolve(1)
    assert views(run.commands) == []
    run.resolve(2)
    assert views(run.commands) == [(0, "view", "at", None), (0, "views", "", [])]


def test_a_replay_shows_nothing() -> None:
    """What was shown was written by the commit of its decision."""
    run = play(
        'workflow.set_view("at", 1) time.sleep(1) workflow.set_view("at", 2)', replaying=True
    )
    assert views(run.commands) == []
    run.run.replaying = False
    run.resolve(1)
    assert views(run.commands) == [(0, "view", "at", 2)]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('workflow.set_view("", 1)', "the name must be a text of 1-100 bytes"),
        ("workflow.set_view(1, 1)", "the name must be a text"),
        ('workflow.set_view(("x"):rep(101), 1)', "the name must be a text of 1-100 bytes"),
        ('workflow.set_view("__x", 1)', "are luaflow's own"),
        ('workflow.set_view("x", print)', "a function cannot leave the code"),
        ('workflow.set_view("x", ("x"):rep(65536))', "a view may have 65536"),
        ('workflow.on_query("x", print) workflow.set_view("x", 1)', "'x' is a query"),
        ('workflow.set_view("x", 1) workflow.on_query("x", print)', "'x' is a view"),
        ('workflow.on_query("@x", print)', "are luaflow's own"),
        ('workflow.on_update("", print)', "the name must be a text"),
    ],
)
def test_what_cannot_be_registered(code: str, says: str) -> None:
    """nil and an error of kind Invalid; nothing is registered."""
    first, _, last = code.rpartition(") ")
    run = play((f"{first}) " if first else "") + f"local _, err = {last} return err:message()")
    assert says in run.result


def test_there_is_a_bound() -> None:
    """A run shows 32 views and has 100 handlers: one more is refused."""
    run = play("""for i = 1, 32 do assert(workflow.set_view("v" .. i, i)) end
        local _, views = workflow.set_view("one more", 1)
        workflow.set_view("v1", nil)
        local again = workflow.set_view("one more", 1)
        for i = 1, 99 do assert(workflow.on_query("q" .. i, print)) end
        assert(workflow.on_update("u", print))
        local same = workflow.on_query("q1", print)
        local _, handlers = workflow.on_update("one more", print)
        return { views:message(), again, same, handlers:message() }""")
    views_, again, same, handlers = run.result
    assert "at most 32 views" in views_
    assert "at most 100 handlers" in handlers
    assert (again, same) == (True, True)


def test_functions_have_none_of_it() -> None:
    """Outside workflows they answer an error."""
    run = play(
        """local out = {}
        for i, f in ipairs({ "set_view", "on_query", "on_update" }) do
            local _, err = workflow[f]("x", print)
            out[i] = err:message()
        end
        return out""",
        kind="function",
    )
    assert all("only available in workflow context" in message for message in run.result)


def test_a_workflow_cannot_ask_another_one() -> None:
    """It says what to do instead."""
    run = play("""local _, a = process.update("{h|w}", "add", 1)
        local _, b = process.query("{h|w}", "n")
        return { a:message(), b:message() }""")
    assert all("not available in workflows" in message for message in run.result)
