"""Functions and workflows: spawned, told, answered, watched, from another OS process (7.3, 7.7)."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from tests.processes.conftest import Stage
from tests.support.engine import within
from tests.support.mutants import kernel_mutant, mutant, proves, replaced

from luaflow.client.handle import Handle
from luaflow.errors import Unavailable
from luaflow_worker import processes

WORKER = "app:worker"
ANSWERS = """
local inbox = process.inbox()
local m = inbox:receive()
local id = workflow.info().workflow_id
local ok, err = process.send(m:from(), "answer", m:payload():data() * 2, id)
if err then return nil, err end
local again = inbox:receive()
return { ok, again:topic() }
"""


@proves(
    mutant("deliver_inbox", "rcall('XADD'", "(function() return false end)('XADD'"),
    kernel_mutant(
        "modules/process",
        'if to_process then return tell(dest, data, "message", {topic = topic}) end',
        "if to_process then return true end",
    ),
)
async def test_a_workflow_answers_the_function_that_spawned_it(stage: Stage) -> None:
    """``msg:from()`` leads back into this OS process; the send is told in the same activation."""
    await stage.app(
        {
            "f": """
            local inbox = process.inbox()
            local spawner = process.with_context({}):with_message("ask", 21)
            local pid, err = spawner:spawn("app:wf", "app:worker")
            if err then return nil, err end
            local m = inbox:receive()
            process.send(pid, "thanks")
            local list = m:payload()
            return { m:topic(), list[1]:data(), m:from() == pid, #list }
            """,
        },
        workflows={"wf": ANSWERS},
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == ["answer", 42, True, 2]


async def test_a_workflow_sends_to_a_pid_it_was_given(stage: Stage) -> None:
    """A PID in the arguments works, too; cancel and terminate of a process from a workflow."""
    await stage.app(
        {
            "p_wait": "local e = process.events():receive() return { e.kind, e.reason }",
            "f": """
            local out = {}
            local a = process.spawn_monitored("app:p_wait", HOST)
            local b = process.spawn_monitored("app:p_wait", HOST)
            local result, err = process.exec("app:wf", "app:worker", process.pid(), a, b)
            if err then return nil, err end
            local inbox = process.inbox()
            for i = 1, 3 do out[i] = inbox:receive():payload():data() end
            local ends = {}
            for _ = 1, 2 do
              local e = process.events():receive()
              ends[e.from == a and "a" or "b"] = e.result.value or e.result.error:kind()
            end
            return { out, result, ends.a, ends.b }
            """,
        },
        workflows={
            "wf": """
            local me, a, b = ...
            for i = 1, 3 do process.send(me, "n", i) end
            return { process.cancel(a, "why"), process.terminate(b),
              process.send("{n0123456789ab@app:f|1}", "lost") }
            """
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == [
        [1, 2, 3],
        [True, True, True],
        ["pid.cancel", "why"],
        "Canceled",
    ]


async def test_watching_a_workflow(stage: Stage) -> None:
    """Attached while it runs, after it ended and to one that never was; link and monitor."""
    await stage.app(
        {
            "f": """
            local events, out = process.events(), {}
            process.set_options({trap_links = true})
            local function one()
              local e = events:receive()
              return { e.kind, e.result.value or false, kinds(e.result.error) or false }
            end
            local pid = process.spawn("app:wf", "app:worker", "well")
            out[1] = process.monitor(pid)
            process.send(pid, "go")
            out[2] = one()
            out[3] = process.monitor(pid)
            out[4] = one()
            out[5] = process.link(pid)
            out[6] = one()
            local ill = process.spawn_linked("app:wf", "app:worker", "ill")
            process.send(ill, "go")
            out[7] = one()
            local both = process.spawn_linked_monitored("app:wf", "app:worker", "ill")
            process.terminate(both)
            out[8] = { one(), one() }
            out[9] = kinds(select(2, process.monitor("{app:client@app:worker|nobody}")))
            local quiet = process.spawn_monitored("app:wf", "app:worker", "well")
            process.unmonitor(quiet)
            process.send(quiet, "go")
            out[10] = process.exec("app:wf2", "app:worker", quiet)
            local case = channel.select({events:case_receive(), time.after("80ms"):case_receive()})
            out[11] = case.channel ~= events
            return out
            """,
        },
        workflows={
            "wf": """
            process.inbox():receive()
            if ... == "ill" then return nil, errors.new({message = "ill", kind = "Conflict"}) end
            return ...
            """,
            "wf2": "return 2",
        },
    )
    await stage.engine.worker()
    well = ["pid.exit", "well", False]
    assert await within(stage.call("f")) == [
        True,
        well,
        True,
        well,
        True,
        well,
        ["pid.link.down", False, "Conflict"],
        [["pid.exit", False, "Canceled"], ["pid.link.down", False, "Canceled"]],
        "NotFound",
        2,
        True,
    ]


async def test_a_watch_follows_the_chain(stage: Stage) -> None:
    """Continue-as-new is no end: EXIT has the result of the last run."""
    await stage.app(
        {
            "f": """
            local pid = process.spawn_monitored("app:wf", "app:worker", 1)
            local e = process.events():receive()
            return { e.result.value, e.from == pid }
            """,
        },
        workflows={
            "wf": "local n = ... if n < 3 then process.upgrade(nil, n + 1) end return n",
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == [3, True]


_RESULT = Handle.result
_lost: list[str] = []


async def _first_lost(self: Handle, timeout: float | None = None) -> Any:
    """The server is away for longer than the client has patience."""
    if not _lost:
        _lost.append(self.workflow_id)
        raise Unavailable("away")
    return await _RESULT(self, timeout)


async def _gives_up(handle: Handle) -> processes.End:
    return processes.End(True, orjson.dumps(await handle.result()), workflow=True)


@proves(replaced(processes, "end_of", _gives_up))
async def test_a_watch_survives_an_outage(stage: Stage, monkeypatch: Any) -> None:
    """A server that was away while the workflow ended: the end is told when it is back."""
    _lost.clear()
    monkeypatch.setattr(Handle, "result", _first_lost)
    monkeypatch.setattr(processes, "AGAIN_SECONDS", 0.01)
    await stage.app(
        {
            "f": """
            process.spawn_monitored("app:wf", "app:worker")
            local events = process.events()
            local case = channel.select({events:case_receive(), time.after("800ms"):case_receive()})
            return case.channel == events and case.value.result.value
            """,
        },
        workflows={"wf": "return 5"},
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == 5
    assert _lost


async def test_a_spawn_of_a_workflow_that_runs(stage: Stage) -> None:
    """A taken name is the workflow's id: the run there is gets the messages."""
    await stage.app(
        {
            "f": """
            local s = process.with_context({}):with_name("the-one"):with_message("m", 1)
            local a = s:spawn_monitored("app:wf", "app:worker")
            local b = s:spawn_monitored("app:wf", "app:worker")
            local e = process.events():receive()
            return { a == b, e.result.value }
            """,
        },
        workflows={
            "wf": """
            local inbox = process.inbox()
            return { inbox:receive():topic(), inbox:receive():topic() }
            """
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == [True, ["m", "m"]]


async def test_a_workflow_knows_no_names(stage: Stage) -> None:
    """process.registry is refused with the way out; sending to a name is NotFound."""
    await stage.app(
        {},
        workflows={
            "wf": """
            local R = process.registry
            local a, e1 = R.register("x")
            local b, e2 = R.lookup("x")
            local c, e3 = R.unregister("x")
            local _, e4 = process.send("x", "t")
            return { a == nil, e1:kind(), b == nil, e2:kind(), c, e3:kind(), e4:kind(),
              e1:message():match("not available in workflows") ~= nil }
            """
        },
    )
    await stage.engine.worker()
    assert await within(stage.engine.execute("wf")) == [
        True,
        "Invalid",
        True,
        "Invalid",
        False,
        "Invalid",
        "NotFound",
        True,
    ]


async def test_a_letter_takes_effect_with_the_commit_and_replays(stage: Stage) -> None:
    """It is a marker of the decision: replay on another worker asks for the same."""
    await stage.app(
        {
            "f": """
            local inbox = process.inbox()
            local pid = process.spawn("app:wf", "app:worker", process.pid())
            inbox:receive()
            return pid
            """,
        },
        workflows={
            "wf": """
            process.send(..., "one", 1)
            process.inbox():receive()
            process.send(..., "two", 2)
            return "end"
            """
        },
    )
    first = await stage.engine.worker()
    pid = await within(stage.call("f"))
    handle = stage.engine.client.get_handle(pid[1:-1].split("|")[1])
    await stage.engine.retire(first)
    await stage.engine.worker()
    await handle.signal("go")
    assert await handle.result(timeout=10) == "end"
    told = [e.body for e in await stage.engine.history(handle) if e.type == "MarkerRecorded"]
    assert [body["value"]["topic"] for body in told] == ["one", "two"]
    assert told[0]["name"].startswith("{n")


async def test_activities_are_processes_of_their_worker(stage: Stage) -> None:
    """An activity spawns a process in its worker, answers a workflow and hears from it."""
    await stage.app(
        {
            "p_echo": "local m = process.inbox():receive() return m:payload():data()",
            "act": """
            local inbox = process.inbox()
            local wf, ask = ...
            process.send(wf, "hello", process.pid())
            local m = inbox:receive()
            local pid = process.spawn_monitored("app:p_echo", HOST)
            process.send(pid, "x", m:payload():data() + 1)
            return { process.events():receive().result.value, process.id() }
            """,
        },
        workflows={
            "wf": """
            local future = funcs.async("app:act", process.pid())
            local m = process.inbox():receive()
            process.send(m:payload():data(), "number", 6)
            return future:response():receive():data()
            """
        },
    )
    await stage.engine.worker()
    assert await within(stage.engine.execute("wf")) == [7, "app:act"]


async def test_no_inbox_where_no_pid_leaves(stage: Stage) -> None:
    """Calls, local processes and messages between them need no server."""
    await stage.app({"g": "return ...", "f": 'return funcs.call("app:g", process.pid())'})
    assert (await stage.call("f")).startswith("{n")
    assert not stage.nodes[0].processes.inbox.open_


async def test_cancelled_activity_that_listens(stage: Stage) -> None:
    """It is told by an event, what it calls is cancelled too, and it ends as it decides."""
    await stage.app(
        {
            "deep": 'time.sleep("1h")',
            "listens": """
            local events = process.events()
            local wf = ...
            process.send(wf, "ready")
            local _, err = funcs.call("app:deep")
            local e = events:receive()
            process.send(wf, "told", e.kind, err:kind())
            return nil, err
            """,
            "deaf": 'process.send(..., "ready") funcs.call("app:deep") return "never"',
        },
        workflows={
            "wf": """
            local out = {}
            for _, name in ipairs({"app:listens", "app:deaf"}) do
              local inbox = process.inbox()
              local e = funcs.new():with_options({["activity.heartbeat_timeout"] = "400ms",
                ["activity.retry_policy"] = {maximum_attempts = 1}})
              local f = e:async(name, process.pid())
              inbox:receive()
              f:cancel()
              if name == "app:listens" then
                local m = inbox:receive()
                out[1] = { m:topic(), m:payload()[1]:data(), m:payload()[2]:data() }
              end
            end
            return out
            """
        },
    )
    worker = await stage.engine.worker()
    assert await within(stage.engine.execute("wf")) == [["told", "pid.cancel", "Canceled"]]
    async with asyncio.timeout(5):
        while worker.activities.running:
            worker.activities.freed.clear()
            await worker.activities.freed.wait()
    assert not worker.node.processes.calls


async def test_letters_of_a_run_that_ends_or_goes_on_arrive(stage: Stage) -> None:
    """Sent in the activation that continues as new, or returns: they leave with that commit."""
    await stage.app(
        {
            "f": """
            local inbox, out = process.inbox(), {}
            local pid = process.spawn_monitored("app:wf", "app:worker", process.pid(), 1)
            for i = 1, 6 do out[i] = inbox:receive():payload():data() end
            return { out, process.events():receive().result.value }
            """,
        },
        workflows={
            "wf": """
            local to, n = ...
            process.send(to, "first", n)
            process.send(to, "second", n * 10)
            if n < 3 then process.upgrade(nil, to, n + 1) end
            return "end"
            """
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == [[1, 10, 2, 20, 3, 30], "end"]


async def test_a_child_and_its_parent_tell_the_same_process(stage: Stage) -> None:
    """Runs of several partitions, an activity between two letters: each in its order."""
    await stage.app(
        {
            "act": "return ...",
            "f": """
            local inbox, seen = process.inbox(), {a = {}, b = {}}
            process.spawn("app:wf", "app:worker", process.pid())
            for _ = 1, 6 do
              local p = inbox:receive():payload()
              local list = seen[p[1]:data()]
              list[#list + 1] = p[2]:data()
            end
            return { seen.a, seen.b }
            """,
        },
        workflows={
            "wf": """
            local to = ...
            process.send(to, "t", "a", 1)
            local value = workflow.exec("app:kid", to)
            process.send(to, "t", "a", value)
            process.send(to, "t", "a", funcs.call("app:act", 3))
            """,
            "kid": """
            for i = 1, 3 do process.send(..., "t", "b", (funcs.call("app:act", i))) end
            return 2
            """,
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == [[1, 2, 3], [1, 2, 3]]


async def test_a_pid_that_leaves_as_a_result_is_reachable(stage: Stage) -> None:
    """An activity starts a process in its worker and returns its PID: the workflow talks to it."""
    await stage.app(
        {
            "p_works": """
            local m = process.inbox():receive()
            process.send(m:from(), "done", m:payload():data() + 1)
            """,
            "start": 'return process.spawn("app:p_works", HOST)',
        },
        workflows={
            "wf": """
            local pid = funcs.call("app:start")
            process.send(pid, "work", 41)
            return (process.listen("done"):receive())
            """
        },
    )
    await stage.engine.worker()
    assert await within(stage.engine.execute("wf")) == 42
