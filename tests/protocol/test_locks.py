"""Locks over all runs of a namespace: one holder, in order, and never kept by who has ended."""

from __future__ import annotations

from typing import Any

from tests.support.engine import Engine, within

from luaflow.client.handle import Handle

TAKE = """
local workflow, time = require("workflow"), require("time")
local function main(key, options)
  local lock, err = workflow.lock(key, options)
  if not lock then return err:kind() .. ": " .. err:message() end
  local go = process.listen("go")
  go:receive()
  lock:release()
  return "released"
end
"""


async def test_a_lock_goes_from_one_to_the_next(engine: Engine) -> None:
    """Who asks second gets it when the first gives it back."""
    await engine.deploy({"take": TAKE})
    await engine.worker()
    one = await engine.start("take", "k")
    await engine.until(one, "LockGranted")
    two = await engine.start("take", "k")
    await engine.until(two, "LockRequested")
    await one.signal("go")
    assert await within(one.result()) == "released"
    await engine.until(two, "LockGranted")
    await two.signal("go")
    assert await within(two.result()) == "released"
