"""Processes of one node: spawned, named, told, and how they end (contract 7)."""

from __future__ import annotations

import pytest
from tests.processes.conftest import Stage

from luaflow.errors import WorkflowFailed

ECHO = """
local inbox = process.inbox()
while true do
  local m = inbox:receive()
  if m:topic() == "stop" then return "stopped" end
  process.send(m:from(), "echo", m:payload() and m:payload():data(), process.pid())
end
"""


async def test_a_process_answers_messages(stage: Stage) -> None:
    """It has a PID of its own, runs beside its spawner, and knows who writes."""
    await stage.app(
        {
            "p_echo": ECHO,
            "f": """
            process.registry.register("None")
            local pid, err = process.spawn("app:p_echo", HOST)
            if err then return nil, err end
            local inbox = process.inbox()
            local ok = process.send(pid, "ask", {n = 1})
            local m = inbox:receive()
            local list = m:payload()
            return { ok, m:topic(), m:from() == pid, #list, list[1]:data().n, list[2]:data() == pid,
              pid:match("^{n%x+@app:processes|%x+}$") ~= nil, pid ~= process.pid() }
            """,
        }
    )
    assert await stage.call("f") == [True, "echo", True, 2, 1, True, True, True]


async def test_payloads_arrive_as_nil_value_and_list(stage: Stage) -> None:
    """0, 1 and n payloads; raw listeners get the values themselves, message listeners messages."""
    await stage.app(
        {
            "f": """
            local me = process.pid()
            local raw, full = process.listen("raw"), process.listen("full", {message = true})
            process.send(me, "raw")
            process.send(me, "raw", "one")
            process.send(me, "raw", 1, 2, 3)
            process.send(me, "full", "x")
            process.send(me, "other")
            local out = {}
            local v, ok = raw:receive()
            out[1] = { v == nil, ok }
            out[2], out[3] = raw:receive(), raw:receive()
            local m = full:receive()
            out[4] = { m:topic(), m:payload():data(), m:from() == me, tostring(m) }
            local inbox = process.inbox()
            local late = inbox:receive()
            out[5] = { late:topic(), late:payload() == nil }
            out[6] = raw == process.listen("raw") and inbox == process.inbox()
              and process.events() == process.events()
            process.unlisten(raw)
            local _, open = raw:receive()
            out[7] = open
            local function fails(f, ...) return kinds(select(2, f(...))) end
            out[8] = { fails(process.listen, "@x"), fails(process.send, me, "@x"),
              fails(process.listen, ""), fails(process.send, me) }
            return out
            """,
        }
    )
    assert await stage.call("f") == [
        [True, True],
        "one",
        [1, 2, 3],
        ["full", "x", True, "process.Message{topic=full}"],
        ["other", True],
        True,
        False,
        ["Invalid", "Invalid", "Invalid", "Invalid"],
    ]


async def test_context_arguments_messages_and_name_of_a_process(stage: Stage) -> None:
    """A spawner's context is inherited and merged; startup messages come first."""
    await stage.app(
        {
            "p_one": """
            local inbox, got = process.inbox(), {}
            for i = 1, 3 do
              local m = inbox:receive()
              got[i] = { m:topic(), m:payload() and m:payload():data() or false, m:from() }
            end
            return { got, ctx.all(), { (...), select("#", ...) }, process.id() }
            """,
            "f": """
            local spawner = process.with_context({b = 2}):with_name("one")
              :with_message("first", 1):with_message("second"):with_actor({}):with_scope({})
              :with_options({network = "x"})
            local pid, err = spawner:spawn_monitored("app:p_one", HOST, "x", nil, 3)
            if err then return nil, err end
            local again = process.with_context({}):with_name("one"):with_message("third", "x")
              :spawn("app:p_one", HOST)
            local e = process.events():receive()
            local got = e.result.value
            for i = 1, 3 do got[1][i][3] = got[1][i][3] == process.pid() end
            local _, gone = process.registry.lookup("one")
            return { pid == again, e.kind, e.from == pid, got, gone:message() }
            """,
        }
    )
    result = await stage.call("f", context={"a": 1})
    assert result[:3] == [True, "pid.exit", True]
    assert result[3] == [
        [["first", 1, True], ["second", False, True], ["third", "x", True]],
        {"a": 1, "b": 2},
        ["x", 3],
        "app:p_one",
    ]
    assert result[4] == "name not registered"


async def test_what_cannot_be_spawned_is_an_error(stage: Stage) -> None:
    """Unknown entry, unknown host, a host of another kind, missing arguments, bad code."""
    await stage.app(
        {
            "p_echo": ECHO,
            "p_bad": "local x <const> = 1 x = 2",
            "f": """
            local out = {}
            local function try(...)
              local pid, err = process.spawn(...)
              out[#out + 1] = { pid == nil, err:kind(), err:retryable() }
            end
            try("app:nothing", HOST)
            try("app:p_echo", "app:nowhere")
            try("app:p_echo", "app:worker")
            try("app:p_echo")
            try("p_echo", HOST)
            try("app:p_bad", HOST)
            local pid = process.spawn("app:p_echo", "processes")
            out[#out + 1] = pid ~= nil
            return out
            """,
        }
    )
    assert await stage.call("f") == [
        [True, "NotFound", False],
        [True, "NotFound", False],
        [True, "NotFound", False],
        [True, "Invalid", False],
        [True, "Invalid", False],
        [True, "Invalid", False],
        True,
    ]


async def test_a_destination_that_is_nobody(stage: Stage) -> None:
    """Names that nobody has, PIDs of processes that ended, text that is no PID."""
    await stage.app(
        {
            "p_short": "return 1",
            "f": """
            local out = {}
            local ops = {"send", "cancel", "terminate", "monitor", "link", "unmonitor", "unlink"}
            for _, op in ipairs(ops) do
              local ok, err = process[op]("nobody", "x")
              out[#out + 1] = { ok == nil, err:kind(), err:message(), err:retryable() }
            end
            local pid = process.spawn_monitored("app:p_short", HOST)
            process.events():receive()
            local _, err = process.send(pid, "x")
            out[#out + 1] = kinds(err)
            return out
            """,
        }
    )
    words = "could not resolve 'nobody' as PID or registered name"
    assert await stage.call("f") == [*[[True, "NotFound", words, False]] * 7, "NotFound"]


async def test_exec_of_a_process(stage: Stage) -> None:
    """Its value, its error with kind, and the caller's context."""
    await stage.app(
        {
            "p_ctx": "return { ctx.get('a'), ... }",
            "p_fail": 'return nil, errors.new({message = "no", kind = "Conflict"})',
            "f": """
            local value, err = process.exec("app:p_ctx", HOST, "x")
            local _, bad = process.exec("app:p_fail", HOST)
            local built = process.with_context({a = "b"}):exec("app:p_ctx", HOST)
            return { value, err == nil, bad:kind(), bad:message(), built[1],
              kinds(select(2, process.exec("app:p_ctx"))) }
            """,
        }
    )
    result = await stage.call("f", context={"a": 1})
    assert result == [[1, "x"], True, "Conflict", "no", "b", "Invalid"]


async def test_a_child_outlives_its_parent_until_the_node_closes(stage: Stage) -> None:
    """The parent's end ends nobody else."""
    await stage.app({"p_echo": ECHO, "f": 'return process.spawn("app:p_echo", HOST)'})
    pid = await stage.call("f")
    made = stage.nodes[0].processes.find(pid)
    assert made is not None
    assert made.outcome is None
    await stage.nodes[0].close()
    assert (await made.ending()).failure is not None


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ('coroutine.spawn(function() error("boom") end) time.sleep("1h")', "Internal", "boom"),
        ("channel.new():receive()", "Internal", "deadlock"),
        ('return nil, "text"', "Internal", "text"),
        ('return nil, errors.new({message = "m", kind = "Mine"})', "Mine", "m"),
    ],
)
async def test_how_a_process_fails(stage: Stage, body: str, kind: str, words: str) -> None:
    """An error in any coroutine, a deadlock, a second value: the process fails with it."""
    await stage.app({"p_bad": body})
    with pytest.raises(WorkflowFailed) as found:
        await stage.call("p_bad")
    assert found.value.kind == kind
    assert words in found.value.message


async def test_the_end_of_main_ends_the_rest(stage: Stage) -> None:
    """Coroutines that still wait are gone with it."""
    await stage.app(
        {"f": 'coroutine.spawn(function() time.sleep("1h") end) return "done", 5, "ignored"'}
    )
    assert await stage.call("f") == "done"


async def test_one_process_of_those_that_want_a_name_at_once(stage: Stage) -> None:
    """Spawned side by side: the first has the name, the others are it, too."""
    await stage.app(
        {
            "p_echo": ECHO,
            "f": """
            local pids, done = {}, channel.new(0)
            local named = process.with_context({}):with_name("one"):with_message("hello", "x")
            for i = 1, 5 do
              coroutine.spawn(function()
                pids[i] = named:spawn("app:p_echo", HOST)
                done:send(true)
              end)
            end
            for _ = 1, 5 do done:receive() end
            local inbox, same, heard = process.inbox(), 0, 0
            for i = 1, 5 do
              if pids[i] == pids[1] then same = same + 1 end
              if inbox:receive():from() == pids[1] then heard = heard + 1 end
            end
            return { same, heard }
            """,
        }
    )
    assert await stage.call("f") == [5, 5]
