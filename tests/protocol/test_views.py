"""Views (decision 0012): stored with the commit, read without a worker, part of no history."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocol.hand import Hand
from tests.support.engine import Engine, within
from tests.support.mutants import mutant, proves, replaced

from luaflow.client import asking
from luaflow.client.handle import Handle
from luaflow.errors import NotFound
from luaflow.lua.vm import Engine as LuaEngine
from luaflow.registry.app import load_app
from luaflow.registry.bundle import bundle_entry
from luaflow.replay.decider import Execution
from luaflow.replay.loading import pid_of, run_info, source_of
from luaflow.store import transitions
from luaflow_worker import told

SHOWS = """
local workflow = require("workflow")
local funcs = require("funcs")
local function main(again)
    if again then
        process.listen("go"):receive()
        return "second"
    end
    workflow.set_view("at", "begun")
    local go, step = process.listen("go"), 0
    while true do
        local what = go:receive()
        step = step + 1
        workflow.set_view("at", { step = step, what = what, bytes = "\\xff" })
        if what == "call" then
            funcs.call("app:work", 1)
            workflow.set_view("called", true)
        end
        if what == "forget" then workflow.set_view("at", nil) end
        if what == "again" then return workflow.continue_as_new(true) end
        if what == "end" then return step end
    end
end
"""
WORK = "local function main(n) return n end"


async def shows(engine: Engine) -> Handle:
    """A workflow that shows where it is, served by a worker."""
    await engine.deploy({"shows": SHOWS}, activities={"work": WORK})
    await engine.worker()
    handle = await engine.start("shows")
    await engine.until(handle, "WorkflowTaskCompleted")
    return handle


async def step(engine: Engine, handle: Handle, what: str) -> int:
    """Let it take a step; return how long its history is then."""
    await handle.signal("go", what)
    route = await engine.store.route(handle.workflow_id)
    return int(await within(asking.settled(engine.store, route)))


@proves(replaced(told, "note", lambda _proposal, _command: None))
async def test_a_view_is_read_without_a_worker(engine: Engine) -> None:
    """As of the last decision; nothing is added to the history; also when the run is closed."""
    handle = await shows(engine)
    assert await handle.view("at") == "begun"
    assert await step(engine, handle, "one") == 4
    assert await engine.types(handle) == [
        "WorkflowExecutionStarted",
        "WorkflowTaskCompleted",
        "WorkflowExecutionSignaled",
        "WorkflowTaskCompleted",
    ]
    await engine.retire(engine.workers[0])
    shown = {"step": 1, "what": "one", "bytes": b"\xff"}
    assert await handle.view("at") == shown
    assert await handle.query("at", timeout=0.01) == shown
    await handle.signal("go", "end")
    assert await handle.view("at") == shown
    await engine.worker()
    assert await within(handle.result()) == 2
    assert (await handle.view("at"))["what"] == "end"


async def test_views_are_listed(engine: Engine) -> None:
    """Describe shows them in the form of histories; an unknown one names the others."""
    handle = await shows(engine)
    await step(engine, handle, "one")
    described = await handle.describe()
    assert described["views"]["at"]["bytes"] == {"$lf": "bytes", "v": "/w=="}
    with pytest.raises(NotFound, match="no view 'nix'; it shows at"):
        await handle.view("nix")
    await step(engine, handle, "forget")
    assert "views" not in await handle.describe()
    with pytest.raises(NotFound, match="no view 'at'; it shows none"):
        await handle.view("at")
    (listed,) = (await engine.client.list())["workflows"]
    assert "views" not in listed


async def test_a_fused_step_shows(engine: Engine) -> None:
    """What is set on the result of an activity goes with the commit that records it."""
    handle = await shows(engine)
    await handle.signal("go", "call")
    await engine.until(handle, "ActivityTaskCompleted")
    await step(engine, handle, "one")
    assert await handle.view("called") is True
    assert (await handle.view("at"))["step"] == 2


async def _nothing(*_: Any) -> None:
    """No run was before."""


@proves(replaced(asking, "_before", _nothing))
async def test_the_next_run_shows_what_the_last_one_did(engine: Engine) -> None:
    """Until its code has decided something itself: there is no gap."""
    handle = await shows(engine)
    await handle.signal("go", "again")
    await engine.until(handle, "WorkflowExecutionContinuedAsNew")
    route = await engine.store.route(handle.workflow_id)
    assert await within(asking.settled(engine.store, route)) == 2
    with pytest.raises(NotFound, match="it shows none"):
        await handle.view("at")
    state = route.partition.run(route.run_id)
    await engine.store.read(("HSET", state, "decided", 0))
    try:
        for one in (handle, engine.client.get_handle(handle.workflow_id)):
            assert (await one.view("at"))["what"] == "again"
    finally:
        await engine.store.read(("HSET", state, "decided", 1))


async def test_a_view_comes_with_its_commit(hand: Hand) -> None:
    """A decision that is refused shows nothing (3.2, 3.3)."""
    route, stale = await hand.idle()
    await hand.tell(route)
    assert (await hand.commit(stale, "H", "v:at", b"1"))[0] == b"turn"
    assert "v:at" not in await hand.state(route)
    assert (await hand.commit(await hand.take(route), "H", "v:at", b"1"))[0] == b"ok"
    assert (await hand.state(route))["v:at"] == "1"


async def test_a_rebuilt_run_shows_nothing_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replay sets all views anew; what is written is what the new decision changes."""
    handle = await shows(engine)
    await step(engine, handle, "one")
    await engine.retire(engine.workers[0])
    p = engine.store.partition(handle.workflow_id)
    await engine.store.read(("HDEL", p.run(str(handle.run_id)), "v:at"))
    await engine.worker()
    seen: list[Any] = []
    note = told.note

    def noted(proposal: Any, command: Any) -> None:
        seen.append((command.op, command.name))
        note(proposal, command)

    monkeypatch.setattr(told, "note", noted)
    await step(engine, handle, "two")
    assert seen == [("view", b"at")]


async def test_views_need_no_version(engine: Engine) -> None:
    """They are no commands: code that shows more, or nothing, replays every history."""
    handle = await shows(engine)
    for what in ("one", "call", "two"):
        await step(engine, handle, what)
    events = await engine.history(handle)
    for source in (SHOWS.replace("workflow.set_view(", "print("), SHOWS):
        text = f"{source}\nreturn {{ main = main }}\n"
        (engine.folder / "shows.lua").write_text(text)
        bundle = bundle_entry(load_app(engine.folder), "app:shows")
        started = events[0].body
        ids = (engine.store.namespace, started["workflow_id"], started["run_id"])
        run = LuaEngine(source_of(bundle)).open(run_info(*ids, started, bundle, pid_of(started)))
        Execution(run, lambda _: None).replay(events)


@proves(mutant("remove_run", "rcall('UNLINK', run_key, hist_key, pend_key)", "local _"))
async def test_views_go_with_their_run(hand: Hand) -> None:
    """They are fields of its state: no key of their own could be forgotten."""
    route, _ = await hand.idle()
    await hand.tell(route)
    await hand.commit(await hand.take(route), "H", "v:at", b"1")
    await hand.end(route)
    await hand.shift(hand.store.settings.retention_ms)
    where = {"workflow_id": route.workflow_id, "run_id": route.run_id}
    await hand.store.one(transitions.remove_run(partition=route.partition, **where))
    assert await hand.state(route) == {}
