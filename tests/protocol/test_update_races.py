"""Updates against the two ends of a run, many at once: each is answered once, none is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.engine import PATIENCE, Engine

from luaflow.client.client import Client
from luaflow.domain.events import Event
from luaflow.errors import Refused

ADMITTED = "WorkflowExecutionUpdateAdmitted"
COMPLETED = "WorkflowExecutionUpdateCompleted"

RELAY = """
local workflow = require("workflow")
local function main(sum, runs)
    local taken = 0
    workflow.on_update("add", function(n)
        sum, taken = sum + n, taken + 1
        return runs
    end)
    local stop = process.listen("stop")
    local stopped = false
    coroutine.spawn(function() stop:receive() stopped = true end)
    workflow.await(function() return stopped or taken >= 7 end)
    if stopped then return { sum = sum, runs = runs } end
    return workflow.continue_as_new(sum, runs + 1)
end
"""
SHOP = """
local workflow = require("workflow")
local function main()
    local sold = 0
    workflow.on_update("buy", function() sold = sold + 1 return sold end)
    process.listen("close"):receive()
    return sold
end
"""


async def chain(engine: Engine, workflow_id: str, first: str) -> list[list[Event]]:
    """The histories of a run and of those that continued it."""
    found: list[list[Event]] = []
    run_id: str | None = first
    while run_id:
        events = await engine.history(Client(engine.store).get_handle(workflow_id, run_id))
        found.append(events)
        run_id = events[-1].body.get("new_run_id")
    return found


async def test_continue_as_new_loses_no_update(engine: Engine) -> None:
    """A run that starts anew with every seventh update: a hundred of them, from many clients."""
    await engine.deploy({"relay": RELAY})
    await engine.worker()
    await engine.scheduler()
    handle = await engine.start("relay", 0, 1, id="r")
    async with asyncio.timeout(3 * PATIENCE):
        answers = await asyncio.gather(
            *(handle.update("add", n, update_id=f"u{n}") for n in range(1, 101))
        )
        await engine.client.get_handle("r").signal("stop")
        result = await handle.result()
    assert result["sum"] == 5050
    assert max(answers) <= result["runs"]
    assert result["runs"] > 2
    histories = await chain(engine, "r", str(handle.run_id))
    done = [e.body["update_id"] for events in histories for e in events if e.type == COMPLETED]
    assert sorted(done) == sorted(f"u{n}" for n in range(1, 101))


async def _buy(engine: Engine, workflow_id: str, update_id: str) -> Any:
    handle = Client(engine.store).get_handle(workflow_id)
    try:
        return await handle.update("buy", update_id=update_id)
    except Refused as error:
        return error


async def test_closing_answers_every_update(engine: Engine) -> None:
    """What was sold is what was answered; all others hear that the shop is closed."""
    await engine.deploy({"shop": SHOP})
    await engine.worker()
    handles = [await engine.start("shop", id=f"s{n}") for n in range(10)]
    for handle in handles:
        await engine.until(handle, "WorkflowTaskCompleted")
    sent, closing = [], []
    for round_ in range(6):
        sent += [
            asyncio.ensure_future(_buy(engine, h.workflow_id, f"{h.workflow_id}.{round_}"))
            for h in handles
        ]
        if round_ == 3:
            closing = [asyncio.ensure_future(h.signal("close")) for h in handles]
    async with asyncio.timeout(2 * PATIENCE):
        answers = await asyncio.gather(*sent)
        await asyncio.gather(*closing)
        sold = sum([await h.result() for h in handles])
    assert sold == sum(isinstance(answer, int) for answer in answers)
    assert isinstance(await _buy(engine, "s0", "late"), Refused)
    for handle in handles:
        events = await engine.history(handle)
        came = {e.body["update_id"]: e.id for e in events if e.type == ADMITTED}
        done = {e.body["update_id"] for e in events if e.type == COMPLETED}
        unread = events[-1].body.get("unread", [])
        assert sorted(came[u] for u in came.keys() - done) == unread
