"""``funcs`` in functions: context, time limit, retries, cancellation (contract 1.3, 9, 9.4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.processes.conftest import Stage
from tests.support.engine import within

from luaflow.domain.failure import Failure, Invalid
from luaflow_worker.function_calls import CallRetry
from luaflow_worker.function_work import WORK


async def test_a_call_is_direct(stage: Stage) -> None:
    """It has its own PID, the caller's context under its own, and keeps the kind of an error."""
    await stage.app(
        {
            "g": "return { ctx.all(), process.pid(), process.id(), ... }",
            "bad": 'return nil, errors.new({message = "m", kind = "Mine", retryable = false, '
            "details = {a = 1}})",
            "f": """
            local one = funcs.call("app:g", 1)
            local e = funcs.new():with_context({b = 2}):with_context({c = 3})
            local two = e:call("app:g", 2)
            local _, err = funcs.call("app:bad")
            local _, none = funcs.call("app:nothing")
            local _, wrong = funcs.call("nothing")
            return { one[1], two[1], one[2] ~= process.pid(), one[3], one[4],
              { err:kind(), err:message(), err:retryable(), err:details().a },
              none:kind(), wrong:kind() }
            """,
        }
    )
    assert await stage.call("f", context={"a": 1}) == [
        {"a": 1},
        {"a": 1, "b": 2, "c": 3},
        True,
        "app:g",
        1,
        ["Mine", "m", False, 1],
        "NotFound",
        "Invalid",
    ]


async def test_timeout(stage: Stage) -> None:
    """Milliseconds or a duration, of the call or of the entry; with_options replaces."""
    await stage.app(
        {
            "slow": 'time.sleep("5s") return "late"',
            "quick": "return 1",
            "f": """
            local out = {}
            local e = funcs.new():with_options({timeout = 20})
            local function try(x, id)
              local v, err = x:call(id)
              out[#out + 1] = v or { err:kind(), err:retryable() }
            end
            try(e, "app:slow")
            try(e:with_options({timeout = "20ms"}), "app:slow")
            try(e, "app:quick")
            try(funcs.new(), "app:limited")
            try(e:with_options({timeout = "soon"}), "app:quick")
            local a = e:with_options({}):async("app:slow")
            local late = time.after("60ms")
            local case = channel.select({a:response():case_receive(), late:case_receive()})
            out[#out + 1] = case.channel ~= a:response()
            a:cancel()
            local _, ok = a:response():receive()
            out[#out + 1] = { ok, a:is_canceled(), a:is_complete(), kinds(select(2, a:result())) }
            return out
            """,
            "limited": 'time.sleep("5s")',
        },
        options={"limited": {"timeout": "10ms"}},
    )
    assert await stage.call("f") == [
        ["Timeout", False],
        ["Timeout", False],
        1,
        ["Timeout", False],
        ["Invalid", False],
        True,
        [False, True, False, "Canceled"],
    ]


async def test_retries_of_an_entry(stage: Stage) -> None:
    """meta.options.retry: tried again until it works, or may not be tried again."""
    await stage.app(
        {
            "p_count": """
            local inbox, n = process.inbox(), 0
            while true do
              local m = inbox:receive()
              n = n + 1
              process.send(m:from(), "n", n)
            end
            """,
            "flaky": """
            process.send("count", "x")
            local n = process.inbox():receive():payload():data()
            local want, kind, retryable = ...
            if n < want then
              return nil, errors.new({message = "no " .. n, kind = kind, retryable = retryable})
            end
            return n
            """,
            "f": """
            local out = {}
            local function try(...)
              local named = process.with_context({}):with_name("count")
              local pid = named:spawn_monitored("app:p_count", HOST)
              local v, err = funcs.call("app:flaky", ...)
              out[#out + 1] = v or err:message()
              process.terminate(pid)
              process.events():receive()
            end
            try(3, "Unavailable", true)
            try(3, "Unavailable")
            try(9, "Unavailable")
            try(3, "Unavailable", false)
            try(3, "Conflict")
            try(3, "Canceled", true)
            return out
            """,
        },
        options={
            "flaky": {
                "retry": {
                    "max_attempts": 4,
                    "initial_delay": "1ms",
                    "max_delay": "2ms",
                    "skip_kinds": ["Conflict"],
                }
            }
        },
    )
    assert await stage.call("f") == [3, 3, "no 4", "no 1", "no 1", "no 1"]


@pytest.mark.parametrize(
    ("attempt", "kind", "retryable", "options", "pause"),
    [
        (1, "Internal", None, {"max_attempts": 1}, None),
        (1, "Internal", None, {"max_attempts": 3}, 0.1),
        (2, "Internal", True, {"max_attempts": 3}, 0.2),
        (3, "Internal", None, {"max_attempts": 3}, None),
        (9, "Internal", None, {"max_attempts": 99}, 10.0),
        (2, "Internal", None, {"max_attempts": 9, "backoff_factor": 3}, 0.3),
        (1, "Internal", False, {"max_attempts": 3}, None),
        (1, "Canceled", True, {"max_attempts": 3}, None),
        (1, "Mine", None, {"max_attempts": 3, "retry_kinds": ["Yours"]}, None),
        (1, "Mine", None, {"max_attempts": 3, "retry_kinds": ["Mine"]}, 0.1),
        (1, "Mine", None, {"max_attempts": 3, "skip_kinds": ["Mine"]}, None),
    ],
)
def test_when_a_call_is_tried_again(
    attempt: int, kind: str, retryable: bool | None, options: dict[str, Any], pause: float | None
) -> None:
    """100 ms, doubled, up to 10 s; never what may not be retried, nor a cancellation."""
    retry = CallRetry.from_options({"jitter": 0, **options})
    assert retry.pause(attempt, Failure(kind, "m", retryable)) == pytest.approx(pause)


@pytest.mark.parametrize(
    "options",
    [[], {"max_attempts": "x"}, {"initial_delay": []}, {"jitter": -1}, {"skip_kinds": "x"}],
)
def test_wrong_retry_options_are_refused(options: Any) -> None:
    """The message names the key."""
    with pytest.raises(Invalid, match="retry"):
        CallRetry.from_options(options)


async def test_jitter_stays_in_its_bounds() -> None:
    """A tenth around, and not always the same."""
    retry = CallRetry.from_options({"max_attempts": 2})
    pauses = {retry.pause(1, Failure("Internal", "m")) for _ in range(50)}
    assert len(pauses) > 10
    assert all(pause is not None and 0.09 <= pause <= 0.11 for pause in pauses)


async def test_a_cancelled_caller_cancels_what_it_calls(stage: Stage) -> None:
    """The task of a call that is cancelled ends the calls inside it, too."""
    await stage.app(
        {
            "deep": 'process.send("top", "deep") time.sleep("1h")',
            "top": 'process.registry.register("top") return process.inbox():receive():topic()',
            "f": 'funcs.call("app:deep")',
        }
    )
    node = await stage.node()
    top = asyncio.create_task(node.call("app:top", []))
    task = asyncio.create_task(node.call("app:f", []))
    assert await within(top) == "deep"
    assert len(node.processes.calls) == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not node.processes.calls


async def test_state_of_a_host_is_the_calls_own(stage: Stage) -> None:
    """What the caller of a node gives stays with that call."""
    await stage.app({"f": "process.inbox():receive() return 1"})
    node = await stage.node()
    state = {"request": object()}
    task = asyncio.create_task(node.call("app:f", [], state=state))
    await asyncio.sleep(0)
    (made,) = node.processes.calls.values()
    assert made.state is state
    await node.processes.post(
        {"kind": "message", "to": made.pid, "from": "", "topic": "t", "input": []}
    )
    assert await task == 1


async def test_a_mistake_of_a_module_is_an_error_of_its_call(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a module of this process raises: the code that waits for it is told."""

    async def broken(call: Any, command: Any) -> None:
        raise KeyError("a mistake")

    monkeypatch.setitem(WORK, "lookup", broken)
    await stage.app({"f": 'return kinds(select(2, process.registry.lookup("x")))'})
    assert await within(stage.call("f")) == "Internal"
