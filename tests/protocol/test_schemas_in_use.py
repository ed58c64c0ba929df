"""Schemas where values cross: starts, children, activities, results."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support.engine import PATIENCE, Engine, Make
from tests.support.mutants import proves, replaced

from luaflow.errors import InvalidArgument, WorkflowFailed
from luaflow_worker.place import Place

POSITIVE = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
ECHO = "local function main(input) return input end"
PARENT = """
local function main(input)
  local value, err = workflow.exec('app:echo', input)
  if err then return { kind = err:kind(), message = err:message() } end
  return value
end"""
CALLER = """
local function main(name, input)
  local value, err = funcs.call(name, input)
  if err then return { kind = err:kind(), retryable = err:retryable(), message = err:message() } end
  return value
end"""


async def with_schemas(engine: Engine, **schemas: dict[str, Any]) -> None:
    """Deploy the app again, with schemas: ``echo_input`` is the input schema of the entry echo."""
    path = engine.folder / "_index.json"
    index = orjson.loads(path.read_bytes())
    for name, schema in schemas.items():
        entry, _, kind = name.rpartition("_")
        (found,) = (e for e in index["entries"] if e["name"] == entry)
        found[f"{kind}_schema"] = schema
    path.write_bytes(orjson.dumps(index))
    await engine.deploy()
    await engine.worker()


async def test_a_bad_input_starts_nothing(engine: Engine) -> None:
    """Whoever starts the workflow is told where the input is wrong; nothing is written."""
    await engine.deploy({"echo": ECHO})
    await with_schemas(engine, echo_input=POSITIVE)
    with pytest.raises(InvalidArgument, match=r"input\.n: 'x' is not of type 'integer'"):
        await engine.start("echo", {"n": "x"}, id="w1")
    assert await engine.client.count() == 0
    assert await engine.execute("echo", {"n": 1}) == {"n": 1}


async def test_a_bad_child_is_not_started(engine: Engine) -> None:
    """A parent's call is answered Invalid, and that is in its history."""
    await engine.deploy({"echo": ECHO, "parent": PARENT})
    await with_schemas(engine, echo_input=POSITIVE)
    await engine.scheduler()
    found = await engine.execute("parent", {"n": "x"})
    assert (found["kind"], "input.n" in found["message"]) == ("Invalid", True)
    assert await engine.client.count("WorkflowType = 'app:echo'") == 0
    assert await engine.execute("parent", {"n": 2}) == {"n": 2}


@proves(replaced(Place, "check_output", lambda *_: None))
async def test_a_bad_result_fails_the_workflow(engine: Engine) -> None:
    """It closes as failed, kind Invalid; the code itself knows nothing of it."""
    await engine.deploy({"echo": ECHO})
    await with_schemas(engine, echo_output=POSITIVE)
    with pytest.raises(WorkflowFailed, match="the result of workflow app:echo") as caught:
        await (await engine.start("echo", {"n": 1.5})).result(timeout=PATIENCE)
    assert (caught.value.kind, caught.value.retryable) == ("Invalid", False)
    assert await engine.execute("echo", {"n": 1}) == {"n": 1}


async def test_activities_are_checked_on_both_sides(engine: Engine) -> None:
    """A bad argument or result is Invalid, and not tried again; eager, queued and local alike."""
    await engine.deploy(
        {"caller": CALLER},
        activities={"takes": ECHO, "gives": ECHO, "here": ECHO},
        python={"python": "tests.support.job_handlers:echo"},
        local=("here",),
    )
    await with_schemas(
        engine,
        takes_input=POSITIVE,
        gives_output=POSITIVE,
        here_input=POSITIVE,
        python_output=POSITIVE,
    )
    for name, where in (("takes", "input"), ("gives", "result"), ("here", "input")):
        found = await engine.execute("caller", f"app:{name}", {"n": "x"})
        assert (found["kind"], found["retryable"]) == ("Invalid", False)
        assert f"{where}.n: 'x' is not of type 'integer'" in found["message"]
    assert (await engine.execute("caller", "app:python", 5))["kind"] == "Invalid"
    for name in ("takes", "gives", "here", "python"):
        assert await engine.execute("caller", f"app:{name}", {"n": 3}) == {"n": 3}
    with pytest.raises(InvalidArgument, match=r"input\.n"):
        await engine.client.enqueue("app:takes", {"n": "x"}, app=engine.folder)
    job = await engine.client.enqueue("app:takes", {"n": "x"}, queue="q")
    with pytest.raises(WorkflowFailed, match=r"input\.n"):
        await job.result(timeout=PATIENCE)


async def test_a_result_that_is_too_large_is_replayed(make_engine: Make) -> None:
    """The code returned, the history says failed: a replay knows that the result was refused."""
    engine = await make_engine(payload_max_bytes=2000, payload_warn_bytes=2000)
    await engine.deploy({"large": "local function main() return string.rep('x', 3000) end"})
    await engine.worker()
    handle = await engine.start("large")
    with pytest.raises(WorkflowFailed, match="3002 bytes"):
        await handle.result(timeout=PATIENCE)
    assert (await engine.history(handle))[-1].body["refused"] is True
