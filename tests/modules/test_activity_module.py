"""The `activity` module of Lua: what an activity may know of its attempt, and say about it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.engine import PATIENCE, Engine, Make, engine, make_engine

__all__ = ["engine", "make_engine"]

CALLS = """
local function main(name, options, ...)
  local value, err = funcs.new():with_options(options or {}):call(name, ...)
  if err then return { kind = err:kind(), message = err:message() } end
  return value
end"""
QUICK = {"activity.retry_policy": {"initial_interval": "5ms", "maximum_attempts": 2}}


async def called(engine: Engine, text: str, **options: Any) -> Any:
    """What a workflow gets that calls an activity of this text."""
    await engine.deploy({"calls": CALLS}, activities={"work": text})
    await engine.worker()
    await engine.scheduler()
    return await engine.execute("calls", "app:work", {**QUICK, **options}, id="w1")


async def test_info_says_who_it_is(engine: Engine) -> None:
    """The names are those of `luaflow.activity.Info`."""
    info = await called(engine, "local function main() return activity.info() end")
    assert info.pop("run_id")
    assert info.pop("idempotency_key").endswith("/1")
    assert info == {
        "activity": "app:work",
        "attempt": 1,
        "workflow_id": "w1",
        "workflow_type": "app:calls",
        "task_queue": "q",
        "seq": 1,
        "start_to_close_ms": 600_000,
        "heartbeat_timeout_ms": 0,
        "job_id": "",
        "traceparent": "",
    }


@pytest.mark.parametrize("waits", ["", "require('time').sleep('10ms')"])
async def test_the_next_attempt_gets_the_details(engine: Engine, waits: str) -> None:
    """What the last heartbeat said is there for the next attempt, also if no wait came between."""
    text = f"""
local function main()
  if activity.info().attempt == 1 then
    assert(activity.heartbeat({{ step = 1 }}))
    assert(activity.heartbeat({{ step = 2 }}))
    {waits}
    error('after step 2')
  end
  return {{ activity.heartbeat_details(), activity.info().heartbeat_details }}
end"""
    assert await called(engine, text) == [{"step": 2}, {"step": 2}]


async def test_heartbeats_come_by_themselves(make_engine: Make) -> None:
    """A Lua activity with a heartbeat timeout is alive as long as its worker is."""
    engine = await make_engine(lease_ms=600)
    text = "local function main() require('time').sleep('400ms') return 'alive' end"
    assert await called(engine, text, **{"activity.heartbeat_timeout": "150ms"}) == "alive"


async def test_details_have_a_limit(make_engine: Make) -> None:
    """Details over the limit of payloads are refused in words, and so is what is no data."""
    engine = await make_engine(payload_max_bytes=2000, payload_warn_bytes=2000)
    text = """
local function main()
  local _, big = activity.heartbeat(string.rep('x', 2001))
  local _, odd = activity.heartbeat(function() end)
  return { big:kind(), big:message(), odd:kind() }
end"""
    kind, message, odd = await called(engine, text)
    assert (kind, odd) == ("Invalid", "Invalid")
    assert "2003 bytes, the namespace allows 2000" in message


async def test_code_that_asks_decides_how_it_ends(make_engine: Make) -> None:
    """After `is_cancelled()` was asked once, a cancellation only sets what it answers."""
    engine = await make_engine(lease_ms=300)
    cancels = """
local function main()
  local executor = funcs.new():with_options({ ['activity.wait_for_cancellation'] = true })
  local call = executor:async('app:work')
  process.listen('begun'):receive()
  call:cancel()
  return (process.listen('cleaned'):receive())
end"""
    looks = """
local function main()
  local me = '{c@app:worker|' .. activity.info().workflow_id .. '}'
  local seen = activity.is_cancelled()
  process.send(me, 'begun', true)
  while not activity.is_cancelled() do require('time').sleep('20ms') end
  process.send(me, 'cleaned', { before = seen, after = activity.is_cancelled() })
end"""
    await engine.deploy({"cancels": cancels}, activities={"work": looks})
    await engine.worker()
    assert await engine.execute("cancels") == {"before": False, "after": True}


async def test_a_function_is_no_activity(engine: Engine) -> None:
    """Called directly, in this process or by another function, the module says so."""
    asks = """
local function main()
  local info, err = activity.info()
  local beat, wrong = activity.heartbeat()
  return { info == nil, err:kind(), beat == nil, wrong:kind() }
end"""
    through = "local function main() return (funcs.call('app:asks')) end"
    await engine.deploy({"calls": CALLS}, activities={"asks": asks, "through": through})
    await engine.worker()
    refused = [True, "Invalid", True, "Invalid"]
    assert await engine.client.call("app:asks", app=engine.folder) == refused
    assert await engine.execute("calls", "app:through") == refused


async def test_a_local_activity_is_one(engine: Engine) -> None:
    """A local activity has its info; its heartbeats are taken and go nowhere."""
    text = """
local function main()
  return { activity.info().activity, activity.heartbeat({ n = 1 }), activity.is_cancelled() }
end"""
    await engine.deploy({"calls": CALLS}, activities={"here": text}, local=("here",))
    await engine.worker()
    assert await engine.execute("calls", "app:here") == ["app:here", True, False]


async def test_workflows_have_no_such_module(engine: Engine) -> None:
    """A workflow that asks for it does not load; the message says what to do."""
    handle = None
    await engine.deploy({"w": "local function main() return require('activity') end"})
    await engine.worker()
    handle = await engine.start("w")
    with pytest.raises(Exception, match="not available in workflows") as caught:
        await handle.result(timeout=PATIENCE)
    assert "funcs.call" in str(caught.value)
