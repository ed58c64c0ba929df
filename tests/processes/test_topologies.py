"""Many processes tied together: failures travel along links and stop where they are trapped."""

from __future__ import annotations

import pytest
from tests.processes.conftest import Stage
from tests.support.engine import within

from luaflow.errors import WorkflowFailed


async def test_a_star_of_children_that_link_to_their_parent(stage: Stage) -> None:
    """Each child hears that its parent failed, tells the watcher, and ends by itself."""
    await stage.app(
        {
            "p_parent": """
            local watcher, n = ...
            for _ = 1, n do
              local pid = process.spawn("app:p_child", HOST, watcher)
              process.send(pid, "parent", process.pid())
            end
            local inbox = process.inbox()
            for _ = 1, n do assert(inbox:receive():topic() == "linked") end
            error("the parent fails")
            """,
            "p_child": """
            process.set_options({trap_links = true})
            local events, inbox = process.events(), process.inbox()
            local parent = inbox:receive():payload():data()
            process.link(parent)
            process.send(parent, "linked", process.pid())
            local e = events:receive()
            process.send(..., "told", e.kind, e.from == parent, e.result.error:message())
            """,
            "f": """
            local inbox, n, seen = process.inbox(), 10, 0
            local parent = process.spawn_monitored("app:p_parent", HOST, process.pid(), n)
            for _ = 1, n do
              local p = inbox:receive():payload()
              if p[1]:data() == process.event.LINK_DOWN and p[2]:data()
                and p[3]:data():match("the parent fails") then seen = seen + 1 end
            end
            local e = process.events():receive()
            return { seen, e.from == parent, e.result.error:kind() }
            """,
        }
    )
    assert await within(stage.call("f")) == [10, True, "Internal"]


async def test_a_chain_falls_from_its_root(stage: Stage) -> None:
    """Without trap_links everybody in the chain ends, one after the other."""
    await stage.app(
        {
            "p_node": """
            local depth, top = ...
            if depth > 0 then process.spawn_linked("app:p_node", HOST, depth - 1, top) end
            process.send(top, "up", process.pid())
            if depth == 4 then
              process.listen("fall"):receive()
              error("the root fails")
            end
            process.inbox():receive()
            """,
            "f": """
            local inbox, root = process.inbox(), nil
            local first = process.spawn("app:p_node", HOST, 4, process.pid())
            for _ = 1, 5 do process.monitor(inbox:receive():payload():data()) end
            process.send(first, "fall")
            local words = {}
            for i = 1, 5 do
              local e = process.events():receive()
              words[i] = e.result.error:message():match("root fails") or e.result.error:message()
            end
            return words
            """,
        }
    )
    words = ["root fails", *["linked process failed"] * 4]
    assert await within(stage.call("f")) == words
    assert not stage.nodes[0].processes.calls


async def test_a_pool_that_is_kept_full(stage: Stage) -> None:
    """A supervisor that traps links starts a new worker for each that failed."""
    await stage.app(
        {
            "p_worker": """
            local m = process.inbox():receive()
            if m:payload():data() == "bad" then error("bad work") end
            process.send(m:from(), "done", m:payload():data())
            return "done"
            """,
            "f": """
            process.set_options({trap_links = true})
            local events, inbox, failed, done = process.events(), process.inbox(), 0, 0
            local function give(work)
              local pid = process.spawn_linked("app:p_worker", HOST)
              process.send(pid, "work", work)
            end
            for i = 1, 6 do give(i % 2 == 0 and "bad" or "good") end
            while failed + done < 9 do
              local case = channel.select({events:case_receive(), inbox:case_receive()})
              if case.channel == events then
                failed = failed + 1
                give("good")
              else
                done = done + 1
              end
            end
            return { failed, done }
            """,
        }
    )
    assert await within(stage.call("f")) == [3, 6]


async def test_a_process_is_an_activity_too(stage: Stage) -> None:
    """process.lua entries are called directly, by workflows and by functions."""
    await stage.app(
        {"p_adds": "local a, b = ... return a + b", "f": 'return funcs.call("app:p_adds", 1, 2)'},
        workflows={"wf": 'return funcs.call("app:p_adds", 3, 4)'},
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == 3
    assert await within(stage.engine.execute("wf")) == 7


async def test_what_is_not_there_is_not_registered(stage: Stage) -> None:
    """A name for a process that has ended is refused; one for a workflow goes with its giver."""
    await stage.app(
        {
            "p_short": "return 1",
            "names": """
            local R = process.registry
            local pid = process.spawn_monitored("app:p_short", HOST)
            process.events():receive()
            local out = { kinds(select(2, R.register("gone", pid))) }
            out[2] = R.register("flow", "{app:client@app:worker|w}")
            out[3] = R.lookup("flow")
            return out
            """,
            "after": 'return kinds(select(2, process.registry.lookup("flow")))',
        }
    )
    found = ["NotFound", True, "{app:client@app:worker|w}"]
    assert await within(stage.call("names")) == found
    assert await within(stage.call("after")) == "NotFound"


async def test_python_functions_are_no_processes(stage: Stage) -> None:
    """A spawn of one says what to do; funcs.call runs it."""
    entry = {"name": "py", "kind": "function.python", "handler": "math:sqrt"}
    await stage.app(
        {
            "f": """
            local _, err = process.spawn("app:py", HOST)
            return { err:kind(), err:message():match("funcs.call"), funcs.call("app:py", 9) }
            """
        },
        entries=[entry],
    )
    assert await within(stage.call("f")) == ["Invalid", "funcs.call", 3.0]
    with pytest.raises(WorkflowFailed):
        await stage.call("py", "x")
