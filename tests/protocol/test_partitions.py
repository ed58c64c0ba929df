"""Runs in different partitions work together (design 4, 5.6), and outlive their workers."""

from __future__ import annotations

import asyncio

import pytest
from tests.protocol import gates
from tests.support.engine import Engine, Make
from tests.support.mutants import mutant, patience, proves, replaced

from luaflow.domain.ids import partition_of
from luaflow_scheduler import expiring

PYTHON = {"gate": "tests.protocol.gates:gate", "note": "tests.protocol.gates:note"}


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


PARENT = """
local function main(child, nobody)
  local spawner = process.with_options({["workflow.id"] = child})
  local pid, err = spawner:spawn("app:child", "app:worker", process.pid())
  if err then return nil, err end
  local m = process.inbox():receive()
  local ok, err = process.send(m:from(), "thanks")
  if err then return nil, err end
  local _, missing = process.send("{app:client@app:worker|" .. nobody .. "}", "hello")
  local e = process.events():receive()
  return {heard = m:topic(), result = e.result.value, missing = missing and missing:kind()}
end
"""
CHILD = """
local function main(parent)
  local ok, err = process.send(parent, "ready")
  if err then return nil, err end
  return process.inbox():receive():topic()
end
"""


@proves(
    mutant(
        "includes/decided",
        "'status', r.status, 'close', stamp",
        "'status', 'running', 'close', stamp",
    )
)
async def test_child_signal_and_reply_cross_partitions(engine: Engine) -> None:
    """A parent, its child and a missing third: start, signals, replies and end cross."""
    await engine.deploy({"parent": PARENT, "child": CHILD})
    await engine.scheduler()
    await engine.worker()
    ids = [engine.id_in(n) for n in (1, 6, 11)]
    assert [partition_of(i, 16) for i in ids] == [1, 6, 11]
    handle = await engine.start("parent", *ids[1:], id=ids[0])
    result = await handle.result(timeout=patience())
    assert result == {"heard": "ready", "result": "thanks", "missing": "NotFound"}
    types = await engine.types(handle)
    for one in ("ChildWorkflowExecutionStarted", "ChildWorkflowExecutionCompleted"):
        assert types.count(one) == 1
    assert types.count("ExternalWorkflowExecutionSignaled") == 1
    assert types.count("SignalExternalWorkflowExecutionFailed") == 1


async def test_the_relay_carries_what_workers_left(engine: Engine) -> None:
    """Workers that deliver nothing themselves: schedulers do, within their dates."""
    await engine.deploy({"parent": PARENT, "child": CHILD})
    await engine.scheduler()
    worker = await engine.worker()
    worker.workflows._deliver = lambda *_: None
    ids = [engine.id_in(n) for n in (1, 6, 11)]
    handle = await engine.start("parent", *ids[1:], id=ids[0])
    result = await handle.result(timeout=patience())
    assert result["result"] == "thanks"


POLICY = """
local function main(child, policy)
  local spawner = process.with_options({
    ["workflow.id"] = child, ["workflow.parent_close_policy"] = policy
  })
  local pid, err = spawner:spawn("app:waiter", "app:worker")
  if err then return nil, err end
  return "gone"
end
"""
WAITER = "local function main() return process.inbox():receive():topic() end"


@pytest.mark.parametrize(
    ("policy", "status"), [("terminate", "terminated"), ("abandon", "running")]
)
async def test_parent_close_policy_crosses_partitions(
    engine: Engine, policy: str, status: str
) -> None:
    """The closing task of a parent tells its children, once."""
    await engine.deploy({"parent": POLICY, "waiter": WAITER})
    await engine.scheduler()
    await engine.worker()
    child = engine.id_in(9)
    handle = await engine.start("parent", child, policy, id=engine.id_in(2))
    assert await handle.result(timeout=patience()) == "gone"
    await engine.stop()
    await engine.settle()
    described = await engine.client.get_handle(child).describe()
    assert described["status"] == status


WORK = """
local funcs, time = require("funcs"), require("time")
local function main()
  local a = funcs.call("app:note", "a")
  local b = funcs.new():with_options({
    ["activity.start_to_close_timeout"] = "30s",
    ["activity.retry_policy"] = {initial_interval = "10ms", maximum_attempts = 3}
  }):call("app:gate", "b")
  return {a = a, b = b}
end
"""


def _same_attempt_again(*_: object) -> None:
    return None


@proves(replaced(expiring, "attempt_due", _same_attempt_again))
async def test_a_killed_worker_is_outlived(make_engine: Make) -> None:
    """Its attempt fails and is followed by another one; its run is rebuilt by another worker."""
    engine = await make_engine(lease_ms=300, sticky_timeout_ms=100)
    await engine.deploy({"work": WORK}, python=PYTHON)
    await engine.scheduler()
    first = await engine.worker()
    handle = await engine.start("work")
    async with asyncio.timeout(patience()):
        await gates.began["b"].wait()
    await engine.kill(first)
    gates.open_["b"].set()
    await engine.worker()
    assert await handle.result(timeout=patience()) == {"a": 1, "b": "b"}
    (done,) = [
        e
        for e in await engine.history(handle)
        if e.type == "ActivityTaskCompleted" and e.body["result"] == "b"
    ]
    assert done.body["attempt"] == 2
    assert gates.calls == ["a", "b", "b"]


MANY = """
local funcs, time = require("funcs"), require("time")
local function main(n)
  local sum = 0
  for i = 1, 3 do
    local x = funcs.call("app:note", n .. "." .. i)
    if i == 2 then time.sleep("20ms") end
    sum = sum + x
  end
  return sum
end
"""


@pytest.mark.parametrize("partitions", [1, 16])
async def test_many_runs_on_two_workers(make_engine: Make, partitions: int) -> None:
    """Two workers and a scheduler share runs of all partitions; every history replays."""
    engine = await make_engine(partitions=partitions)
    await engine.deploy({"many": MANY}, python=PYTHON)
    await engine.scheduler()
    await engine.worker(cache=3)
    await engine.worker(cache=0)
    handles = [await engine.start("many", n) for n in range(24)]
    assert [await h.result(timeout=patience()) for h in handles] == [3] * 24
    assert sorted(gates.calls) == sorted(f"{n}.{i}" for n in range(24) for i in (1, 2, 3))
