"""Budgets of whole activations: what the kernel does for the code is paid by the code."""

from __future__ import annotations

import functools
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.lua.support_kernel import Play, source
from tests.support.mutants import Violation, altered_kernel, kernel_mutant, proves

from luaflow.lua.vm import ActivationFault, Engine

MIB = 1024 * 1024


def engine(body: str, **limits: float) -> Engine:
    """An engine for a workflow body."""
    return Engine(source(f"return function(...) {body}\nend"), **limits)  # type: ignore[arg-type]


def fault_of(body: str, *args: object, replaying: bool = False, cpu: float = 0.1) -> str:
    """The reason of the fault that a start ends with, soon after its CPU time."""
    began = time.thread_time()
    with pytest.raises(ActivationFault) as fault:
        Play("", *args, engine=engine(body, cpu_seconds=cpu), replaying=replaying)
    assert time.thread_time() - began < cpu + 0.5
    return fault.value.reason


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    """Threads that use CPU time without holding the interpreter."""
    stop = threading.Event()

    def work() -> None:
        data = b"x" * 4_000_000
        while not stop.is_set():
            hashlib.sha256(data).digest()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@proves(kernel_mutant("budget", "if not N.thread_time then", "if true then"))
async def test_the_work_of_other_threads_is_not_counted() -> None:
    """A step that fits three times into its budget also fits while six threads work."""
    body = "local x = 0 for i = 1, 2e6 do x = x + i end return x"
    began = time.thread_time()
    assert Play("", engine=engine(body, cpu_seconds=10)).last.status == "done"
    alone = time.thread_time() - began
    with busy_threads(6):
        assert Play("", engine=engine(body, cpu_seconds=3 * alone)).last.status == "done"


CHAINS = {
    "spawns": "local function f() n = n + 1 if n < 60000 then coroutine.spawn(f) end end",
    "spawns, caught": """
        local function f() n = n + 1 if n < 60000 then pcall(coroutine.spawn, f) end end""",
    "after a sleep": """
        local time = require("time")
        local function f() time.sleep(0) n = n + 1 if n < 60000 then coroutine.spawn(f) end end""",
}


UNPAID = Violation(
    "coroutines for nothing",
    functools.partial(altered_kernel, "guard", "charge(", "local _ = ("),
    functools.partial(altered_kernel, "budget", "LOOK_EVERY = 200,", "LOOK_EVERY = 1000,"),
)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
@proves(UNPAID)
async def test_coroutines_that_start_each_other_are_stopped(chain: str) -> None:
    """Each runs too short for its hook: starting and resuming one costs."""
    assert fault_of(f"n = 0 {chain} f() process.inbox():receive()", cpu=0.05) == "cpu"


WRITTEN = {
    "floats": "local t = {} for i = 1, 100000 do t[i] = i / 3 end return t",
    "a map": "local t = {} for i = 1, 60000 do t[i + .5] = i end return t",
    "integers": "local t = {} for i = 1, 90000 do t[i] = i end return {t, t, t, t, t, t, t, t}",
    "quotes": "return ('\"'):rep(6000000)",
    "the same string again and again": """
        local t, s = {}, ('é'):rep(500000) for i = 1, 200 do t[i] = s end return t""",
    "bytes": "return ('\\xff'):rep(8000000)",
    "quotes as arguments": """
        local s = ('"'):rep(1500000) return require("funcs").call("a:b", s, s, s)""",
}


@pytest.mark.parametrize("body", WRITTEN.values(), ids=WRITTEN.keys())
def test_writing_what_leaves_the_code_is_paid(body: str) -> None:
    """The scheduler writes results and arguments where there is no hook."""
    assert fault_of(body, cpu=0.05) == "cpu"


def test_sorting_the_keys_of_what_leaves_is_paid() -> None:
    """Long keys of zeros are compared one zero at a time."""
    body = r"""local t, z = {}, ('\0'):rep(3000)
        for i = 1, 4000 do t[z .. i * 7919 % 4001] = 1 end return t"""
    assert fault_of(body, cpu=0.6) == "cpu"


def test_looking_for_what_cannot_leave_is_paid() -> None:
    """A value that contains itself many times over is looked through with the budget in mind."""
    dag = "local t = {} for i = 1, 21 do t = {t, t} end return {[1] = print, [-1] = t}"
    assert fault_of(dag, replaying=True) == "cpu"
    long = "return {[('k'):rep(1000)] = {[('l'):rep(1000)] = print}}"
    assert (
        Play(f"return function() {long} end")
        .failure["message"]
        .startswith("the result of app:flow: at ." + "k" * 199 + ": a function cannot leave")
    )


def test_cancelling_many_waits_is_paid() -> None:
    """Whether it ends or not, a cancellation takes no longer than a step may."""
    play = Play(
        "",
        engine=engine(
            """process.set_options({interrupt_on_cancel = true})
            local ch = channel.new()
            for i = 1, 15000 do coroutine.spawn(function() ch:receive() end) end
            ch:receive()""",
            cpu_seconds=0.5,
            memory_bytes=256 * MIB,
        ),
    )
    began = time.thread_time()
    try:
        play.cancel()
    except ActivationFault as fault:
        assert fault.reason == "cpu"  # noqa: PT017
    assert time.thread_time() - began < 0.5 + 0.5


def test_the_lines_of_one_activation_are_bounded() -> None:
    """What is too much is left out with a word; the code goes on as it does while replaying."""
    play = Play("return function() for i = 1, 10100 do print(i) end return 1 end")
    assert play.result == 1
    assert len(play.logs) == 10001
    assert play.logs[9999] == ("info", "10000")
    assert play.logs[10000][0] == "warn"
    assert "more than 10000 lines" in play.logs[10000][1]


def test_an_error_of_the_kernel_itself_names_the_line_of_the_code() -> None:
    """Never a line of luaflow, which the next release moves."""
    play = Play("return function()\nlocal ok = pcall() end")
    assert play.failure["message"] == "flow.lua:2: bad argument #1 to 'pcall' (value expected)"


def test_recursion_without_end_fails_the_run_and_nothing_else() -> None:
    """An ordinary mistake is an ordinary failure: the engine and its other runs live on."""
    shared = engine("local function f() return 1 + f() end return ... and f() or 'fine'")
    assert "flow.lua:1: stack overflow" in Play("", True, engine=shared).failure["message"]
    assert not shared.broken
    assert Play("", False, engine=shared).result == "fine"


LATE = {
    "in the same activation": "mt.__mode = 'k' t[{}] = 1",
    "after a wait": "process.inbox():receive() mt.__mode = 'v'",
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE.keys())
@proves(kernel_mutant("budget", "or weak", ""))
async def test_a_metatable_that_turns_weak_ends_the_activation(late: str) -> None:
    """What a weak table loses differs from run to run: nothing that saw one is recorded."""
    shared = engine(f"if ... then mt = {{}} t = setmetatable({{}}, mt) {late} end return 1")
    with pytest.raises(ActivationFault, match="weak tables are not available") as fault:
        Play("", True, engine=shared).message("go")
    assert fault.value.reason == "weak"
    assert not shared.broken
    assert Play("", False, engine=shared).result == 1


def test_rawset_refuses_to_make_a_metatable_weak() -> None:
    """Where the kernel is asked, it says no at once."""
    play = Play(
        "return function() local mt = {} setmetatable({}, mt) rawset(mt, '__mode', 'k') end"
    )
    assert "weak tables are not available" in play.failure["message"]


def test_an_error_that_reads_like_lua_s_fails_the_run_only() -> None:
    """The message of an activity may well be about memory."""
    shared = engine(
        """local workflow = require("workflow")
        local _, err = require("funcs").call("a:b")
        workflow.shielded(function() error(err:message(), 0) end)"""
    )
    play = Play("", engine=shared)
    play.fail(1, kind="Internal", message="not enough memory", retryable=False)
    assert play.failure["message"] == "not enough memory"
    assert not shared.broken


KEEPER = """
kept = {}
while true do
    local keep = process.inbox():receive():payload():data()
    local t = {}
    for i = 1, 20 do t[i] = ("x"):rep(100000) .. #kept .. i end
    if keep then kept[#kept + 1] = t end
end
"""


@proves(kernel_mutant("budget", "near and overfull() or ", ""))
async def test_what_an_engine_keeps_has_a_bound() -> None:
    """Step by step, a run takes the engine over its bound: the step that does so is a fault."""
    shared = engine(KEEPER, total_bytes=16 * MIB)
    play = Play("", engine=shared)
    for _ in range(4):
        play.message("x", True)

    def keep_more() -> None:
        for _ in range(10):
            play.message("x", True)

    with pytest.raises(ActivationFault, match="too much memory") as fault:
        keep_more()
    assert fault.value.reason == "memory"
    assert shared.broken


def test_garbage_is_collected_before_an_engine_is_judged() -> None:
    """Only what is really kept counts."""
    play = Play("", engine=engine(KEEPER, total_bytes=8 * MIB))
    for _ in range(30):
        assert play.message("x", False).status == "wait"


@proves(
    kernel_mutant("objects", "MAX_KEY, MAX_KEYS = 64,", "MAX_KEY, MAX_KEYS = 1e9,"),
)
async def test_long_keys_do_not_stay_in_the_engine() -> None:
    """What is kept across runs is bounded in bytes."""
    body = 'require("json").encode({[("x"):rep(1000000) .. ...] = 1}) return 1'
    shared = engine(body, total_bytes=8 * MIB)
    for n in range(12):
        play = Play("", n, engine=shared)
        assert play.result == 1
        play.run.close()


@proves(kernel_mutant("patterns", "CACHE_BYTES = 8000", "CACHE_BYTES = 1e9"))
async def test_long_patterns_do_not_stay_in_the_engine() -> None:
    """The same for patterns and for what the matcher prepares of them."""
    body = """local s = ("ab"):rep(400)
        for i = 1, 5 do s:find("^z" .. ... .. "y" .. i .. ("[^a]-"):rep(80) .. "b") end return 1"""
    shared = engine(body, total_bytes=8 * MIB, cpu_seconds=10)
    for n in range(6):
        assert Play("", n, engine=shared).result == 1


# A pcall that yielded takes no C stack any more, so any number of them may be nested.
NESTED = """
    local funcs, depth = require("funcs"), 0
    local function down()
      depth = depth + 1
      if depth == %d then while true do end end
      return pcall(function() %s return down() end)
    end
    %s"""
DRIVEN = "local co = coroutine.create(down) while true do coroutine.resume(co) end"


@proves(kernel_mutant("guard", "if ended() and isyieldable() then", "if false then"))
@pytest.mark.parametrize(
    ("depth", "between", "driver"),
    [
        (15_000, 'funcs.call("bad")', "down()"),
        (15_000, 'funcs.async("bad")', "down()"),
        (30_000, "coroutine.yield()", DRIVEN),
    ],
    ids=["call", "async", "yield"],
)
async def test_the_end_does_not_climb_out_of_many_calls(
    depth: int, between: str, driver: str
) -> None:
    """Lua looks at the whole stack for each call that catches an error: with many, for minutes."""
    assert fault_of(NESTED % (depth, between, driver), cpu=0.6) == "cpu"


@proves(kernel_mutant("base", "and level < MAX_LEVELS", ""))
async def test_a_long_stack_is_not_searched_to_its_end() -> None:
    """Calls in tail position leave no frame of the code: there may be none to be found."""
    body = """
        local funcs, depth = require("funcs"), 0
        local function down()
          depth = depth + 1
          if depth == 15000 then return funcs.call("a:b") end
          return pcall(function() funcs.call("bad") return down() end)
        end
        down()"""
    play = Play("", engine=engine(body))
    began = time.thread_time()
    assert play.run.stack() == "?: waits in activity"
    assert time.thread_time() - began < 0.5
