"""``workflow.lock`` in the kernel: what it asks for, what it refuses, what it gives back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.lua.support_kernel import Play

HEAD = 'local workflow, time = require("workflow"), require("time")\nreturn function(...)\n'


def play(code: str, **how: Any) -> Play:
    """A workflow body."""
    return Play(HEAD + code + "\nend", **how)


def test_a_lock_is_asked_for_and_given_back() -> None:
    """One command each; a second release is none."""
    one = play('local l = workflow.lock("k") l:release() l:release() return tostring(l)')
    assert [(c.op, c.name) for c in one.commands] == [("lock", b"k")]
    assert orjson.loads(one.commands[0].extra or b"") == {"limit": 1, "wait": True}
    one.resolve(1)
    assert one.result == "workflow.Lock"
    assert [(c.op, c.name, c.extra) for c in one.commands[1:]] == [("unlock", b"1", b'{"key":"k"}')]


def test_a_refusal_is_an_error_and_gives_nothing_back() -> None:
    """There is nothing to give back; the key may be asked for again."""
    one = play(
        'local l, err = workflow.lock("k", {timeout = 0}) workflow.lock("k") return err:kind()'
    )
    assert orjson.loads(one.commands[0].extra or b"") == {"limit": 1, "wait": False}
    one.fail(1, kind="Timeout", message="not free")
    one.resolve(2)
    assert one.ops() == ["lock", "lock"]
    assert one.result == "Timeout"


def test_a_timeout_takes_the_request_back_and_a_late_grant_is_nothing() -> None:
    """The answer that comes after it is not fed to anybody."""
    one = play(
        'local l, err = workflow.lock("k", {timeout = "5s"}) time.sleep("1h") return err:kind()'
    )
    assert one.ops() == ["lock", "timer"]
    one.resolve(2)
    assert one.ops() == ["lock", "timer", "unlock", "timer"]
    one.resolve(1)
    one.resolve(4)
    assert one.result == "Timeout"


def test_a_grant_in_time_cancels_the_timer() -> None:
    """A timer nobody waits for is not kept."""
    one = play('workflow.lock("k", {timeout = "5s"}) time.sleep("1h")')
    one.resolve(1)
    assert one.ops() == ["lock", "timer", "cancel_timer", "timer"]
    one.resolve(2)


def test_locks_are_not_counted() -> None:
    """A run that has a lock, or waits for it, would wait for itself: it is told so at once."""
    one = play(
        """
        workflow.lock("k")
        local again, err = workflow.lock("k")
        return { again == nil, err:kind(), err:retryable() }"""
    )
    one.resolve(1)
    assert one.result == [True, "Conflict", False]
    assert one.ops() == ["lock"]


def test_after_the_release_it_can_be_asked_for_again() -> None:
    """The run has forgotten the old one; releasing that changes nothing."""
    one = play(
        """
        local first = workflow.lock("k")
        first:release()
        local second = workflow.lock("k")
        first:release()
        return select(2, workflow.lock("k")):kind()"""
    )
    one.resolve(1)
    one.resolve(3)
    assert one.result == "Conflict"
    assert one.ops() == ["lock", "unlock", "lock"]


def test_cancellation_takes_the_request_back() -> None:
    """The timer goes, too."""
    one = play(
        """
        process.set_options({interrupt_on_cancel = true})
        local l, err = workflow.lock("k", {timeout = "1h"})
        return err:kind()"""
    )
    one.cancel()
    assert one.ops() == ["lock", "timer", "cancel_timer", "unlock"]
    assert one.result == "Canceled"


BAD = {
    "nil": "expected a key",
    '""': "expected a key",
    "1": "expected a key",
    '("k"):rep(201)': "more than 200 bytes",
    '"a\\nb"': "control characters",
    '"\\xff"': "UTF-8",
    '"k", 1': "options must be a table",
    '"k", {limit = 0}': "limit must be",
    '"k", {limit = 1.5}': "limit must be",
    '"k", {timeout = "soon"}': "timeout:",
}


@pytest.mark.parametrize("args", BAD)
def test_bad_input_is_refused(args: str) -> None:
    """Nothing is asked for."""
    one = play(f"local l, err = workflow.lock({args}) return {{ err:kind(), err:message() }}")
    kind, message = one.result
    assert kind == "Invalid"
    assert BAD[args] in message
    assert one.ops() == []


def test_functions_have_no_locks() -> None:
    """There is no run to keep one."""
    one = play('return select(2, workflow.lock("k")):message()', kind="function")
    assert "workflow context" in one.result


def test_code_that_replay_skips_cannot_lock() -> None:
    """A side effect is not run again, and what it asked for would be missing."""
    one = play(
        'return workflow.side_effect(function() return tostring(pcall(workflow.lock, "k")) end)'
    )
    assert one.result == "false"


def test_the_state_is_out_of_reach() -> None:
    """A lock shows nothing, takes nothing, and its method wants a lock."""
    one = play(
        """
        local l = workflow.lock("k")
        local keys = 0
        local ok = pcall(function() for _ in pairs(l) do keys = keys + 1 end end)
        return { keys, pcall(function() l.over = true end), pcall(l.release, {}) }"""
    )
    one.resolve(1)
    assert one.result[0] == 0
    assert one.result[1] is False
    assert one.ops() == ["lock"]
