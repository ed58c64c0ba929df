"""Signals from everywhere: in order, none lost, however many wait (gap 10 of the contract)."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.engine import PATIENCE, Engine, within

from luaflow.errors import NotFound, Refused

COLLECT = """
local function main()
    local got, inbox = {}, process.inbox()
    while true do
        local m = inbox:receive()
        if m:topic() == "end" then break end
        got[#got + 1] = m:payload():data()
    end
    local ordered = true
    for i = 2, #got do ordered = ordered and got[i] == got[i - 1] + 1 end
    return { count = #got, ordered = ordered, first = got[1], last = got[#got] }
end
"""
SENDERS = """
local function main(id)
    local pid = "{app:client@app:worker|" .. id .. "}"
    for i = 1, 5 do assert(process.send(pid, "n", i)) end
    local _, err = process.send("{h|nobody}", "n", 1)
    assert(process.send(pid, "end"))
    return err:kind()
end
"""
CALLS = """
local funcs = require("funcs")
local function main(id) return funcs.call("app:sends", id) end
"""


async def test_ten_thousand_signals_wait(engine: Engine) -> None:
    """More than the reference keeps: every one is taken, in the order in which it was sent."""
    await engine.deploy({"collect": COLLECT})
    handle = await engine.start("collect")
    for first in range(1, 10_001, 500):
        await asyncio.gather(*(handle.signal("n", n) for n in range(first, first + 500)))
    await handle.signal("end")
    await engine.worker()
    async with asyncio.timeout(3 * PATIENCE):
        found = await handle.result()
    assert found == {"count": 10_000, "ordered": True, "first": 1, "last": 10_000}


@pytest.mark.parametrize("role", ["workflow", "activity"])
async def test_lua_code_sends_in_order(engine: Engine, role: str) -> None:
    """A workflow and a function: what process.send confirmed is there; nobody is NotFound."""
    workflows = {"collect": COLLECT, "calls": CALLS} | (
        {"sends": SENDERS} if role == "workflow" else {}
    )
    activities = {"sends": SENDERS} if role == "activity" else {}
    await engine.deploy(workflows, activities=activities)
    await engine.worker()
    await engine.scheduler()
    handle = await engine.start("collect", id="c")
    assert await engine.execute("sends" if role == "workflow" else "calls", "c") == "NotFound"
    found = await within(handle.result())
    assert found == {"count": 5, "ordered": True, "first": 1, "last": 5}


async def test_signal_with_start_comes_first(engine: Engine) -> None:
    """It starts the workflow or signals the one that runs; its signal is before all others."""
    await engine.deploy({"collect": COLLECT})
    first = await engine.client.signal_with_start("app:collect", "n", [1], id="c")
    second = await engine.client.signal_with_start("app:collect", "n", [2], id="c")
    assert (second.run_id, second.existed) == (first.run_id, True)
    await first.signal("n", 3)
    await first.signal("end")
    await engine.worker()
    found = await within(first.result())
    assert found == {"count": 3, "ordered": True, "first": 1, "last": 3}
    with pytest.raises(Refused):
        await first.signal("n", 4)
    with pytest.raises(NotFound):
        await engine.client.get_handle("nobody").signal("n")
