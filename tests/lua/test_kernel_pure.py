"""workflow.side_effect: what replay will not repeat cannot change the run."""

from __future__ import annotations

import orjson
import pytest
from tests.lua.support_kernel import Play, result_of, source
from tests.support.mutants import kernel_mutant, proves

HEAD = """
local workflow, time, funcs = require("workflow"), require("time"), require("funcs")
"""

REFUSED = {
    "a send": ("ch:send(1)", "channel:send"),
    "a receive": ("full:receive()", "channel:receive"),
    "a close": ("ch:close()", "channel:close"),
    "a select": ("channel.select({ full:case_receive(), default = true })", "channel.select"),
    "an option": ("process.set_options({ trap_links = true })", "process.set_options"),
    "unlisten": ("process.unlisten(heard)", "process.unlisten"),
    "listen": ('process.listen("other")', "process.listen"),
    "the inbox": ("process.inbox()", "process.inbox"),
    "subscribe": ('subscribe("s", ch)', "subscribe"),
    "unsubscribe": ("unsubscribe(heard)", "unsubscribe"),
    "a timer stopped": ("timer:stop()", "timer:stop"),
    "a timer reset": ('timer:reset("2h")', "timer:reset"),
    "a new timer": ('time.after("1s")', "time.after"),
    "a ticker stopped": ("ticker:stop()", "ticker:stop"),
    "a future cancelled": ("future:cancel()", "future:cancel"),
    "a coroutine": ("coroutine.spawn(function() end)", "coroutine.spawn"),
    "a call": ('funcs.call("a:b")', "funcs.call"),
    "an async call": ('funcs.async("a:b")', "funcs.call"),
    "a message": ('process.send("{a@b|c}", "t")', "process.send"),
    "a new version": ('workflow.version("c", 1, 2)', "workflow.version"),
    "attributes": ("workflow.attrs({ memo = {} })", "workflow.attrs"),
    "the end": ("workflow.continue_as_new()", "continue_as_new"),
    "another side effect": ("workflow.side_effect(print)", "workflow.side_effect"),
    "a uuid": ('require("uuid").v4()', "uuid.v4"),
    "a library for the first time": ('require("lib")', "the first require('lib')"),
}

SCENE = """return function()
    local ch, full, heard = channel.new(5), channel.new(5), process.listen("t")
    full:send("kept")
    local timer, ticker, future = time.timer("1h"), time.ticker("1h"), funcs.async("a:b")
    local _, err = workflow.side_effect(function() {body} end)
    return {{ err:message(), full:receive(), future:is_canceled(), timer:stop(),
        process.get_options().trap_links, (channel.select({{ ch:case_receive() }}, true)).default }}
end"""


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_change_the_run_is_refused_inside(what: str) -> None:
    """With its name; nothing was changed, and live and replay give the same commands."""
    body, name = REFUSED[what]
    code = source(HEAD + SCENE.format(body=body), imports={"lib": source("return 1")})
    live = Play(code)
    words, *rest = live.result
    assert f"{name} is not allowed inside workflow.side_effect" in words
    assert rest == ["kept", False, True, False, True]
    marker = next(c for c in live.commands if c.op == "marker")
    value = orjson.loads(marker.data or b"")
    replayed = Play(code, services={"side_effect_lookup": lambda _: (True, value)})
    assert replayed.commands == live.commands
    assert replayed.result == live.result


@pytest.mark.parametrize(
    "body",
    [
        'return require("lib")',
        'return workflow.version("known", 1, 2)',
        "return time.now():unix()",
        'return require("uuid").v5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x")',
        "return process.get_options().trap_links",
        "return coroutine.wrap(function() coroutine.yield(7) end)()",
        "local t = {} for k in pairs(string) do t[#t + 1] = k end return t",
    ],
)
def test_what_changes_nothing_is_allowed_inside(body: str) -> None:
    """Reading, computing, coroutines of its own."""
    code = (
        HEAD
        + f"""return function()
        require("lib")
        workflow.version("known", 1, 2)
        local v, err = workflow.side_effect(function() {body} end)
        return {{ v ~= nil, err == nil }}
    end"""
    )
    assert Play(source(code, imports={"lib": source("return 1")})).result == [True, True]


@proves(kernel_mutant("modules/workflow", "= K.call_alone(fn)", "= run.pcall(fn)"))
async def test_a_side_effect_cannot_be_left_by_a_yield() -> None:
    """A plain coroutine may hold it: it would go on elsewhere, and replay would not."""
    play = Play(
        HEAD
        + """return function()
        local co = coroutine.wrap(function()
            local v, err = workflow.side_effect(function() coroutine.yield("out") return 2 end)
            return err and err:message()
        end)
        local words = co()
        return { words, (funcs.call("a:b")) }
    end"""
    )
    assert play.last.status == "wait"
    play.resolve(2, "called")
    words = "flow.lua:5: coroutine.yield is not allowed inside workflow.side_effect"
    assert play.result == [words, "called"]


def test_what_a_yielding_side_effect_opened_is_closed() -> None:
    """Its pending <close> variables run before the call returns."""
    assert result_of("""
        local workflow, log = require("workflow"), {}
        local _, err = workflow.side_effect(function()
            local function close() log[#log + 1] = "closed" end
            local x <close> = setmetatable({}, { __close = close })
            coroutine.yield()
        end)
        return { log, err ~= nil }""") == [["closed"], True]


@proves(
    kernel_mutant(
        "modules/workflow",
        "local ok, value, err = K.call_alone(fn)\n",
        "local ok, value, err = K.call_alone(fn)\n  K.libs.enter(run.env)\n",
    )
)
async def test_an_error_in_a_side_effect_uses_no_number_of_the_run() -> None:
    """Its words may number an object: live only, so never from the run's own count."""
    code = (
        HEAD
        + """return function()
        local _, err = workflow.side_effect(function() error(print) end)
        return { err:message(), tostring({}) }
    end"""
    )
    live = Play(code)
    value = orjson.loads(live.commands[0].data or b"")
    replayed = Play(code, services={"side_effect_lookup": lambda _: (True, value)})
    assert live.result == replayed.result
    assert live.result[1] == "table: 1"


@proves(kernel_mutant("door", "run.pure_env or run.env", "run.env"))
async def test_an_answer_in_a_side_effect_uses_no_number_of_the_run() -> None:
    """Random numbers drawn behind it are the side effect's own, live and only live."""
    code = (
        HEAD
        + """return function()
        workflow.side_effect(function()
            require("uuid").v5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x")
            return math.random(100)
        end)
        return math.random(1000000)
    end"""
    )
    live, replayed = Play(code), Play(code, services={"side_effect_lookup": lambda _: (True, 7)})
    assert live.result == replayed.result
