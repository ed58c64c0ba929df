"""Monitors, links, cancel, terminate and the exchange of code (contract 7.6-7.10)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.processes.conftest import Stage
from tests.support.mutants import kernel_mutant, proves, replaced

from luaflow.errors import WorkflowFailed
from luaflow_worker import processes
from luaflow_worker.names import Names

WAITS = """
local m = process.inbox():receive()
if m:topic() == "fail" then return nil, errors.new({message = "asked to", kind = "Conflict"}) end
return m:topic()
"""
SHOW = """
local function show(e)
  return { e.kind, e.result.value or false, e.result.error and e.result.error:kind() or false,
    e.result.error and e.result.error:message() or false }
end
"""


async def _result(stage: Stage, body: str, **more: str) -> Any:
    await stage.app({"p_waits": WAITS, "f": SHOW + body, **more})
    return await stage.call("f")


async def test_monitor_tells_value_and_error(stage: Stage) -> None:
    """EXIT with the result, from whom and when; twice monitored is told once."""
    assert await _result(
        stage,
        """
        local out, events = {}, process.events()
        for _, word in ipairs({"fine", "fail"}) do
          local pid = process.spawn("app:p_waits", HOST)
          out[#out + 1] = process.monitor(pid) and process.monitor(pid)
          process.send(pid, word)
          local e = events:receive()
          out[#out + 1] = show(e)
          out[#out + 1] = e.from == pid and e.at:match("^%d+%-%d%d%-%d%dT") ~= nil
        end
        local more = channel.select({events:case_receive(), time.after("50ms"):case_receive()})
        out[#out + 1] = more.channel ~= events
        return out
        """,
    ) == [
        True,
        ["pid.exit", "fine", False, False],
        True,
        True,
        ["pid.exit", False, "Conflict", "asked to"],
        True,
        True,
    ]


async def test_unmonitor_and_unlink_silence(stage: Stage) -> None:
    """After them nothing is told, and a failure kills nobody."""
    assert await _result(
        stage,
        """
        local a = process.spawn_monitored("app:p_waits", HOST)
        local b = process.spawn_linked("app:p_waits", HOST)
        local out = { process.unmonitor(a), process.unlink(b), process.unmonitor(a) }
        process.send(a, "fail")
        process.send(b, "fail")
        local events = process.events()
        local case = channel.select({events:case_receive(), time.after("100ms"):case_receive()})
        out[#out + 1] = case.channel ~= events
        return out
        """,
    ) == [True, True, True, True]


async def test_link_with_and_without_trap(stage: Stage) -> None:
    """A link's failure is an event with trap_links; one that ends well says nothing."""
    assert await _result(
        stage,
        """
        local out, events = {}, process.events()
        out[1] = process.get_options().trap_links
        out[2] = process.set_options({trap_links = true})
        local well = process.spawn_linked("app:p_waits", HOST)
        process.send(well, "fine")
        local case = channel.select({events:case_receive(), time.after("80ms"):case_receive()})
        out[3] = case.channel ~= events
        local ill = process.spawn("app:p_waits", HOST)
        out[4] = process.link(ill)
        process.send(ill, "fail")
        local e = events:receive()
        out[5], out[6] = show(e), e.from == ill
        local both = process.spawn_linked_monitored("app:p_waits", HOST)
        process.send(both, "fail")
        out[7] = { events:receive().kind, events:receive().kind }
        local ok, err = process.set_options({nonsense = true})
        out[8] = { ok, err:kind() }
        return out
        """,
    ) == [
        False,
        True,
        True,
        True,
        ["pid.link.down", False, "Conflict", "asked to"],
        True,
        ["pid.exit", "pid.link.down"],
        [False, "Invalid"],
    ]


@proves(kernel_mutant("processes", "if run.options.trap_links then", "if true then"))
async def test_a_broken_link_kills(stage: Stage) -> None:
    """Without trap_links the failure of a linked process ends the other one, and its links too."""
    await stage.app(
        {
            "p_waits": WAITS,
            "f": """
            local pid = process.spawn_linked("app:p_waits", HOST)
            process.send(pid, "fail")
            time.sleep("500ms")
            return "still there"
            """,
        }
    )
    with pytest.raises(WorkflowFailed, match="linked process failed"):
        await stage.call("f")


async def test_a_parent_that_fails_takes_linked_children_along(stage: Stage) -> None:
    """Links go both ways."""
    await stage.app(
        {
            "p_waits": WAITS,
            "p_parent": """
            local child = process.spawn_linked("app:p_waits", HOST)
            process.send(..., "child", child)
            process.inbox():receive()
            error("parent fails")
            """,
            "f": """
            local inbox = process.inbox()
            local parent = process.spawn("app:p_parent", HOST, process.pid())
            local child = inbox:receive():payload():data()
            process.monitor(child)
            process.send(parent, "go")
            local e = process.events():receive()
            return { e.from == child, e.result.error:message() }
            """,
        }
    )
    assert await stage.call("f") == [True, "linked process failed"]


async def test_terminate_and_cancel_of_processes(stage: Stage) -> None:
    """Terminate ends at once, kind Canceled; cancel is an event: reason, at, from, payload."""
    assert await _result(
        stage,
        """
        local out, events = {}, process.events()
        local a = process.spawn_monitored("app:p_waits", HOST)
        out[1] = process.terminate(a)
        out[2] = show(events:receive())
        local b = process.spawn_monitored("app:p_cancelled", HOST)
        out[3] = process.cancel(b, "enough")
        local e = events:receive()
        out[4] = e.result.value
        out[4][4] = out[4][4] == process.pid()
        local c = process.spawn_monitored("app:p_waits", HOST)
        process.cancel(c, 100)
        process.send(c, "went on")
        out[5] = show(events:receive())
        return out
        """,
        p_cancelled="""
        local e = process.events():receive()
        local data = e:payload():data()
        return { e.kind == process.event.CANCEL, e.reason, type(e.at), e.from, data.reason }
        """,
    ) == [
        True,
        ["pid.exit", False, "Canceled", "process terminated"],
        True,
        [True, "enough", "string", True, "enough"],
        ["pid.exit", "went on", False, False],
    ]


async def test_interrupt_on_cancel_ends_waits(stage: Stage) -> None:
    """A process that asked for it has its waits return Canceled; exec does not cancel its child."""
    assert await _result(
        stage,
        """
        local pid = process.spawn_monitored("app:p_sleeps", HOST)
        time.sleep("20ms")
        process.cancel(pid)
        local e = process.events():receive()
        local child = process.registry.lookup("child")
        return { show(e), process.send(child, "still there") }
        """,
        p_sleeps="""
        process.set_options({interrupt_on_cancel = true})
        local _, err = process.with_context({}):with_name("child"):exec("app:p_waits", HOST)
        return err:kind()
        """,
    ) == [["pid.exit", "Canceled", False, False], True]


async def test_upgrade_keeps_pid_mailbox_options_and_name(stage: Stage) -> None:
    """Hot swap: who it is stays, what nobody took is there, arguments are new."""
    assert await _result(
        stage,
        """
        process.set_options({trap_links = true})
        local named = process.with_options({}):with_name("it")
        local pid = named:spawn_linked_monitored("app:p_old", HOST)
        process.send(pid, "later", "x")
        process.send(pid, "later", nil, 2)
        process.send(pid, "go")
        local e = process.events():receive()
        local v = e.result.value
        return { e.from == pid, v[1] == pid, v[2], v[3], v[4], v[5], v[6] }
        """,
        p_old="""
        process.set_options({trap_links = true})
        process.listen("go"):receive()
        local _, err = process.upgrade("app:nothing")
        process.upgrade("app:p_new", kinds(err), 7)
        """,
        p_new="""
        local inbox = process.inbox()
        local a, b = inbox:receive(), inbox:receive()
        return { process.pid(), {...}, { a:topic(), a:payload():data(), #b:payload() },
          process.id(), process.get_options().trap_links,
          process.registry.lookup("it") == process.pid() }
        """,
    ) == [True, True, ["NotFound", 7], ["later", "x", 2], "app:p_new", True, True]


async def test_upgrade_without_end_starves_nobody(stage: Stage) -> None:
    """A process that exchanges its code again and again leaves the others their turn."""
    assert (
        await _result(
            stage,
            """
        local pid = process.spawn("app:p_again", HOST, 1)
        time.sleep("30ms")
        process.terminate(pid)
        return "alive"
        """,
            p_again="local n = ... process.upgrade(nil, n + 1)",
        )
        == "alive"
    )


async def test_names(stage: Stage) -> None:
    """Register, look up, conflict, unregister; a name resolves wherever a PID does."""
    assert await _result(
        stage,
        """
        local out, R = {}, process.registry
        local pid = process.spawn_monitored("app:p_waits", HOST)
        out[1] = R.register("me") and R.register("me", process.pid())
        out[2] = R.lookup("me") == process.pid()
        out[3] = { kinds(select(2, R.register("me", pid))), kinds(select(2, R.register(""))),
          kinds(select(2, R.register("x", "no pid"))), kinds(select(2, R.register("x", nil, 9))),
          kinds(select(2, R.lookup("x"))) }
        out[4] = { R.register("other", pid), process.send("other", "fine"),
          process.events():receive().result.value }
        out[5] = { kinds(select(2, R.lookup("other"))), R.unregister("me"), R.unregister("me") }
        out[6] = { R.LOCAL, R.EVENTUAL, R.CONSISTENT, R.STRONG }
        return out
        """,
    ) == [
        True,
        True,
        ["AlreadyExists", "Invalid", "Invalid", "Invalid", "NotFound"],
        [True, True, "fine"],
        ["NotFound", True, False],
        [0, 1, 2, 3],
    ]


def _keeps(self: Names, holder: Any) -> list[tuple[str, str]]:
    return []


@proves(replaced(Names, "drop", _keeps))
async def test_a_name_is_free_when_its_owner_ended(stage: Stage) -> None:
    """However the owner ended: another process may have the name."""
    assert await _result(
        stage,
        """
        local out = {}
        for _, how in ipairs({"fine", "fail", "terminate"}) do
          local pid, err = process.with_context({}):with_name("the one")
            :spawn_monitored("app:p_waits", HOST)
          if err then return nil, err end
          if how == "terminate" then process.terminate("the one")
          else process.send("the one", how) end
          local e = process.events():receive()
          out[#out + 1] = e.from == pid
        end
        return out
        """,
    ) == [True, True, True]


async def test_bonds_leave_nothing_behind(stage: Stage) -> None:
    """A long-lived process keeps no trace of those that watched it and ended."""
    await stage.app(
        {
            "p_waits": WAITS,
            "p_watch": "process.monitor(...) process.link(...) return 1",
            "f": """
            local pid = process.spawn("app:p_waits", HOST)
            for _ = 1, 20 do process.exec("app:p_watch", HOST, pid) end
            return pid
            """,
        }
    )
    pid = await stage.call("f")
    made = stage.nodes[0].processes.find(pid)
    assert made is not None
    assert not made.bonds.watchers
    assert not made.bonds.watching


async def test_the_end_of_a_child_that_was_quick_is_told(stage: Stage) -> None:
    """It ended before its spawner ran again: the watch was there before it began."""
    assert (
        await _result(
            stage,
            """
        local n = 0
        for i = 1, 50 do process.spawn_monitored("app:p_quick", HOST, i) end
        for _ = 1, 50 do n = n + process.events():receive().result.value end
        return n
        """,
            p_quick="return ...",
        )
        == 1275
    )


def test_modes_name_what_spawn_asks_for() -> None:
    """The prelude's words for spawn's variants are known."""
    assert set(processes.MODES) == {"monitor", "link", "link_monitor"}
