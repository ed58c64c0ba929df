"""funcs: calls, options, futures, fan-out; children and the spawn builder."""

from __future__ import annotations

import orjson
import pytest
from tests.lua.support_kernel import PID, Play, result_of, source
from tests.support.mutants import kernel_mutant, proves

FUNCS = 'local funcs, time = require("funcs"), require("time")\n'


@pytest.mark.parametrize(
    ("id_text", "words"),
    [
        ('""', "function ID required"),
        ("nil", "function ID required"),
        ('"noname"', "expected namespace:name"),
        ('"a:"', "expected namespace:name"),
    ],
)
def test_bad_ids_are_invalid_and_schedule_nothing(id_text: str, words: str) -> None:
    """The error is a value, not a raise."""
    play = Play(
        FUNCS
        + f"""return function()
        local v, err = funcs.call({id_text})
        return {{ v == nil, err:kind(), err:message() }}
    end"""
    )
    assert play.commands == []
    assert play.result[:2] == [True, "Invalid"]
    assert words in play.result[2]


def test_arguments_cross_as_they_are() -> None:
    """nil arguments keep their place; integers and floats keep their kind."""
    play = Play(FUNCS + 'return function() funcs.call("a:b", nil, 1, 1.0, "x", nil) end')
    assert play.commands[0].data == b'[null,1,1.0,"x",null]'
    play = Play(FUNCS + 'return function() funcs.call("a:b") end')
    assert play.commands[0].data == b"[]"


@pytest.mark.parametrize("replaying", [False, True])
def test_a_function_cannot_be_sent(replaying: bool) -> None:
    """Refused in the same way live and in replay, where nothing is written."""
    play = Play(
        FUNCS
        + """return function()
            local v, err = funcs.call("a:b", { f = print })
            return err:message()
        end""",
        replaying=replaying,
    )
    assert play.commands == []
    assert play.last.status == "done"
    if not replaying:
        assert play.result == "argument 1: at .f: a function cannot leave the code: send plain data"


def test_replay_writes_no_data() -> None:
    """The same commands, without the cost of their JSON."""
    play = Play(FUNCS + 'return function() return funcs.call("a:b", { 1 }) end', replaying=True)
    assert play.commands[0][:4] == ("activity", 1, b"a:b", None)
    assert play.resolve(1, "x").status == "done"
    assert play.last.result is None


def test_an_error_of_an_activity_keeps_its_parts() -> None:
    """Kind, message, retryable and details are those of the callee."""
    play = Play(
        FUNCS
        + """return function()
        local v, err = funcs.call("a:b")
        return { v == nil, err:kind(), err:message(), err:retryable(), err:details().n,
            errors.is(err, errors.TIMEOUT) }
    end"""
    )
    play.fail(1, kind="Timeout", message="late", retryable=False, details={"n": 1})
    assert play.result == [True, "Timeout", "late", False, 1, True]


def test_options_in_both_spellings_go_out_and_bad_ones_come_back() -> None:
    """with_options replaces; an invalid value is an error before anything is scheduled."""
    play = Play(
        FUNCS
        + """return function()
        local fast = funcs.new():with_options({ ["activity.start_to_close_timeout"] = "5s" })
        fast:call("a:b", 1)
        fast:with_context({ user = "u" }):call("a:c")
        local bad = funcs.new():with_options({ ["temporal.activity.heartbeat_timeout"] = true })
        local v, err = bad:call("a:d")
        return { v == nil, err:kind(), err:message() }
    end"""
    )
    assert play.commands[0].extra == b'{"activity.start_to_close_timeout":"5s"}'
    play.resolve(1)
    assert orjson.loads(play.commands[1].extra or b"") == {
        "activity.start_to_close_timeout": "5s",
        "context": {"user": "u"},
    }
    play.resolve(2)
    assert len(play.commands) == 2
    assert play.result[:2] == [True, "Invalid"]
    assert play.result[2].startswith("invalid temporal activity options for a:d: ")


def test_local_activities_have_an_operation_of_their_own() -> None:
    """Entries named by the host run inside the task."""
    play = Play(
        FUNCS + 'return function() funcs.call("a:fast") funcs.call("a:slow") end',
        info={"local_activities": ["a:fast"]},
    )
    play.resolve(1)
    assert play.ops() == ["local_activity", "activity"]


def test_futures_deliver_a_payload_and_close() -> None:
    """The channel gives one Payload, then ends; result() agrees."""
    play = Play(
        FUNCS
        + """return function()
        local f = funcs.async("a:b", 1)
        local r, e = f:result()
        local before = { f:is_complete(), r == nil, e == nil }
        local p, ok = f:channel():receive()
        local p2, ok2 = f:response():receive()
        return { before, p:data(), ok, p2 == nil, ok2, f:is_complete(), f:result():data(),
            (select(2, f:error())) }
    end"""
    )
    play.resolve(1, {"v": 1})
    assert play.result == [
        [False, True, True],
        {"v": 1},
        True,
        True,
        False,
        True,
        {"v": 1},
        False,
    ]


@proves(
    kernel_mutant(
        "scheduler",
        "task.blocked = false\n    return after(run, task, resume(task.co, ...))",
        "return S.wake(run, task, ...)",
    )
)
async def test_who_calls_async_goes_on_before_others() -> None:
    """It is no wait: no other coroutine has its turn, however deep in coroutines it is called."""
    play = Play(
        FUNCS
        + """return function()
        local log, done = {}, channel.new()
        for _, name in ipairs({ "a", "b" }) do
            coroutine.spawn(function()
                done:receive()
                local inner = coroutine.wrap(function()
                    local ok, f = pcall(funcs.async, "a:" .. name, name)
                    log[#log + 1] = name .. tostring(ok)
                    coroutine.yield(f)
                end)
                local f, bad = inner(), select(2, funcs.async("bad"))
                log[#log + 1] = name .. bad:kind()
                local value = f:response():receive():data()
                log[#log + 1] = value
            end)
        end
        done:close()
        time.sleep("1s")
        return log
    end"""
    )
    play.resolve(2, "of a")
    play.resolve(3, "of b")
    assert [c.data for c in play.commands] == [b"1000000000", b'["a"]', b'["b"]']
    play.resolve(1)
    assert play.result == ["atrue", "aInvalid", "btrue", "bInvalid", "of a", "of b"]


def test_failed_futures_deliver_the_error() -> None:
    """The error object itself arrives on the channel; that of `error` is Internal (9.4)."""
    play = Play(
        FUNCS
        + """return function()
        local f = funcs.async("a:b")
        local e = f:channel():receive()
        local v, err = f:result()
        local again, failed = f:error()
        return { e:kind(), v == nil, err == e, again:kind(), again:message(), failed }
    end"""
    )
    play.fail(1, kind="NotFound", message="no", retryable=True)
    assert play.result == ["NotFound", True, True, "Internal", "no", True]


def test_a_cancelled_future_closes_at_once_and_ignores_what_comes() -> None:
    """cancel is a command; the late result changes nothing."""
    play = Play(
        FUNCS
        + """return function()
        local f = funcs.async("a:b")
        f:cancel() f:cancel()
        local p, ok = f:channel():receive()
        time.sleep("1s")
        local v, err = f:result()
        return { f:is_canceled(), p == nil, ok, v == nil, err:kind(), f:is_complete() }
    end"""
    )
    assert [(c.op, c.name) for c in play.commands] == [
        ("activity", b"a:b"),
        ("cancel_activity", b"1"),
        ("timer", None),
    ]
    assert play.resolve(1, "late").status == "wait"
    play.resolve(3)
    assert play.result == [True, True, False, True, "Canceled", False]


def test_results_arrive_in_the_order_they_are_fed() -> None:
    """Two calls in two coroutines."""
    play = Play(
        FUNCS
        + """return function()
        local log, done = {}, channel.new()
        for _, id in ipairs({ "a:x", "a:y" }) do
            coroutine.spawn(function()
                local v = funcs.call(id)
                log[#log + 1] = v
                done:send(true)
            end)
        end
        done:receive() done:receive()
        return log
    end"""
    )
    play.resolve(2, "second")
    play.resolve(1, "first")
    assert play.result == ["second", "first"]


def test_map_bounds_the_calls_in_flight_and_keeps_the_order() -> None:
    """At most `concurrency` at once; results stand where their items stood."""
    play = Play(
        FUNCS
        + """return function()
        local r, err = funcs.map("a:b", { 10, 20, 30 }, { concurrency = 2 })
        return { r, err == nil }
    end"""
    )
    assert [c.data for c in play.commands] == [b"[10]", b"[20]"]
    play.resolve(2, "b")
    assert len(play.commands) == 3
    play.resolve(3, "c")
    play.resolve(1, "a")
    assert play.result == [["a", "b", "c"], True]


def test_map_stops_at_the_first_failure_and_cancels_the_rest() -> None:
    """What runs is asked to end; what did not start never does."""
    play = Play(
        FUNCS
        + """return function()
        local r, err = funcs.map("a:b", { 1, 2, 3 }, { concurrency = 2 })
        return { err:message() }
    end"""
    )
    play.fail(1, kind="Internal", message="bad")
    assert play.ops() == ["activity", "activity", "cancel_activity"]
    assert play.result == ["bad"]


def test_map_of_nothing_is_nothing() -> None:
    """No item, no command."""
    assert Play(FUNCS + 'return function() return #funcs.map("a:b", {}) end').result == 0


# -- children --------------------------------------------------------------------------------------


def test_a_failed_start_is_an_error_for_spawn_and_exec() -> None:
    """AlreadyExists comes back as nil, err."""
    for call in ("spawn", "exec"):
        play = Play(f"""return function()
            local v, err = process.{call}("a:b", "w")
            return {{ v == nil, err:kind() }}
        end""")
        play.step(b"child_started", 1, None, {"kind": "AlreadyExists", "message": "is there"})
        assert play.result == [True, "AlreadyExists"]


def test_a_childs_failure_is_internal_and_retryable_when_it_does_not_say() -> None:
    """Unknown kind and verdict get the documented defaults."""
    play = Play("""return function()
        local v, err = process.exec("a:b", "w")
        return { v == nil, err:kind(), err:retryable() }
    end""")
    play.step(b"child_started", 1, "{c@w|x}", None)
    play.fail(1, kind="", message="?")
    assert play.result == [True, "Internal", True]


def test_the_end_of_a_spawned_child_is_an_event() -> None:
    """It waits on process.events() until somebody looks, with value or error."""
    play = Play("""return function()
        local a = process.spawn("a:b", "w")
        local inbox = process.inbox()
        inbox:receive()
        local e1, e2 = process.events():receive(), (process.events():receive())
        return { e1.kind == process.event.EXIT, e1.from == a, e1.result.value.n, e1.at,
            e2.result.error:message(), e2.result.value == nil }
    end""")
    play.step(b"child_started", 1, "{c@w|x}", None)
    play.step(b"exit", "{c@w|x}", True, {"n": 1})
    play.step(b"exit", "{c@w|y}", False, {"kind": "Internal", "message": "died"})
    play.message("go")
    assert play.result == [True, True, 1, "2023-11-14T22:13:23Z", "died", True]


def test_the_builder_is_immutable_and_complete() -> None:
    """Options, context, name and messages all leave with the start."""
    play = Play("""return function()
        local base = process.with_options({ ["workflow.run_timeout"] = "1h" })
        base:with_name("other")
        base:with_context({ a = 1 }):with_context({ b = 2 }):with_name("job-1")
            :with_message("first", 1, 2):with_message("second")
            :spawn_monitored("a:b", "w", "arg")
    end""")
    assert orjson.loads(play.commands[0].extra or b"") == {
        "wait": False,
        "host": "w",
        "name": "job-1",
        "watch": "monitor",
        "options": {"workflow.run_timeout": "1h"},
        "context": {"a": 1, "b": 2},
        "messages": [["first", 1, 2], ["second"]],
    }


def test_bad_start_options_are_refused_before_the_start() -> None:
    """Judged by the same rules as everywhere."""
    play = Play("""return function()
        local pid, err = process.with_options({ ["workflow.run_timeout"] = {} }):spawn("a:b", "w")
        return { pid == nil, err:kind() }
    end""")
    assert play.commands == []
    assert play.result == [True, "Invalid"]


def test_cancel_and_terminate_are_commands_that_wait() -> None:
    """Their outcome is the return value."""
    play = Play(
        """return function(pid)
        local a = process.cancel(pid, "why")
        local b, err = process.terminate(pid)
        return { a, b == nil, err:kind() }
    end""",
        "{c@w|x}",
    )
    assert play.commands[0].extra == b'{"reason":"why"}'
    play.resolve(1)
    play.fail(2, kind="NotFound", message="gone", retryable=False)
    assert play.ops() == ["cancel", "terminate"]
    assert play.result == [True, True, "NotFound"]


@pytest.mark.parametrize("name", ["monitor", "unmonitor", "link", "unlink"])
def test_watching_is_refused_in_workflows(name: str) -> None:
    """With the documented text."""
    play = Play(f"""return function()
        local ok, err = process.{name}("{PID}")
        return {{ ok == nil, err:kind(), err:retryable(), err:message() }}
    end""")
    assert play.result[:3] == [True, "Invalid", False]
    assert f"process.{name} not supported in workflow context" in play.result[3]


def test_pid_and_id_and_options() -> None:
    """Who I am, and what may be set."""
    play = Play("""return function()
        local bad, err = process.set_options({ color = true })
        local set = process.set_options({ trap_links = true })
        return { process.pid(), process.id(), bad, err:kind(), set,
            process.get_options().trap_links, process.get_options().upgradable }
    end""")
    assert play.result == [PID, "app:flow", False, "Invalid", True, True, False]


def test_keys_of_contexts_and_options_are_utf8() -> None:
    """Another key would make the whole table a tagged map, which nobody can merge."""
    for code in (
        r'process.with_context({["\xff"] = 1})',
        r'require("funcs").new():with_options({["\xff"] = 1})',
    ):
        words = result_of(f"local ok, err = pcall(function() {code} end) return {{ok, err}}")
        assert words[0] is False
        assert "keys are texts in UTF-8" in words[1]


def test_core_modules_may_be_listed() -> None:
    """Listing what is there anyway changes nothing: it stays a global, and can be required."""
    code = 'return {main = function() return math.max(1, 2) == require("math").max(1, 2) end}'
    listed = source(code, modules=("math", "string", "table", "coroutine", "os", "process"))
    assert Play(listed).result is True
