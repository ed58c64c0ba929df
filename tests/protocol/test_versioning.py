"""Which code a run goes on with: what it began with, the newest, or that of a build (design 8)."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.support.engine import Engine, until, within
from tests.support.mutants import patience, proves, replaced

import luaflow.deploy
from luaflow.client.handle import Handle
from luaflow.errors import NotFound
from luaflow.store import deployed
from luaflow_worker import taking
from luaflow_worker.engines import Engines
from luaflow_worker.place import Place

OLD = """
local funcs, workflow = require("funcs"), require("workflow")
local function main()
  local got = {}
  for i = 1, 4 do
    process.inbox():receive()
    got[i] = "old"
  end
  return got
end
"""
NEW = """
local funcs, workflow = require("funcs"), require("workflow")
local function main()
  local got = {}
  for i = 1, 4 do
    process.inbox():receive()
    if workflow.version("words", 1, 2) == 1 then got[i] = "new, as before" else got[i] = "new" end
  end
  return got
end
"""
AUTO = {"default_versioning_behavior": "auto_upgrade"}


async def tell(engine: Engine, handle: Handle, times: int = 1) -> None:
    """Signal a workflow; each signal is decided before the next."""
    for _ in range(times):
        before = sum(t == "WorkflowTaskCompleted" for t in await engine.types(handle))
        await handle.signal("go")
        await _decided(handle, before + 1)


async def _decided(handle: Handle, decisions: int) -> None:
    async def wait() -> None:
        seen = 0
        async for event in handle.history(follow=True):
            seen += event.type == "WorkflowTaskCompleted"
            if seen >= decisions:
                return

    await within(wait())


def bundles(events: list[Any]) -> list[str]:
    """The bundle that each decision names."""
    return [e.body.get("bundle", "") for e in events if e.type == "WorkflowTaskCompleted"]


async def deploy(engine: Engine, source: str, **worker: Any) -> str:
    """Deploy a version of the workflow; its bundle."""
    await engine.deploy({"words": source}, worker=worker)
    (text,) = await engine.store.read(("HGET", f"lf:{engine.store.namespace}:types", "app:words"))
    return str(orjson.loads(text)["bundle"])


async def test_a_run_is_pinned(engine: Engine) -> None:
    """By default it ends on the code it began with, in memory or rebuilt; new runs get the new."""
    old = await deploy(engine, OLD)
    worker = await engine.worker()
    handle = await engine.start("words")
    await until(engine, handle, "WorkflowTaskCompleted")
    await deploy(engine, NEW)
    await tell(engine, handle, 2)
    await engine.retire(worker)
    await engine.worker()
    await tell(engine, handle, 2)
    assert await within(handle.result()) == ["old"] * 4
    assert set(bundles(await engine.history(handle))) == {""}
    assert (await handle.describe())["bundle"] == old


def _no_upgrade(self: Place) -> bool:
    return False


async def _first(_: Any, live: Any, events: Any) -> str:
    return str(live.place.bundle if live else events[0].body["bundle"])


@proves(
    replaced(Place, "upgrades", property(_no_upgrade)),
    replaced(taking, "code_of", _first),
)
async def test_a_run_upgrades_at_its_next_task(engine: Engine) -> None:
    """The run in memory is dropped and rebuilt on the newest code, where version decides.

    A marker that the history does not have where the code asks for it stands for the least version;
    each decision says which bundle made it.
    """
    old = await deploy(engine, OLD, **AUTO)
    worker = await engine.worker()
    handle = await engine.start("words")
    await until(engine, handle, "WorkflowTaskCompleted")
    await tell(engine, handle)
    new = await deploy(engine, NEW, **AUTO)
    await tell(engine, handle, 2)
    assert (await handle.describe())["bundle"] == new
    await engine.retire(worker)
    await engine.worker()
    await tell(engine, handle)
    # the first call of version stands in the past: the change did not exist there
    assert await within(handle.result()) == ["new, as before"] * 4
    assert bundles(await engine.history(handle)) == [old, old, new, new, new]


@proves(replaced(luaflow.deploy, "KNOWN_SECONDS", 0), replaced(deployed, "KNOWN_SECONDS", 60))
async def test_a_run_started_after_a_deploy_has_its_code(engine: Engine) -> None:
    """Who starts runs goes by what it read of a type for a moment; a deploy waits for that."""
    old = await deploy(engine, OLD)
    started = asyncio.create_task(_starting(engine))
    assert await started == old
    started = asyncio.create_task(_starting(engine))
    new = await deploy(engine, NEW)
    assert await started in {old, new}  # (beside a deploy it is either)
    assert await _starting(engine) == new


async def test_a_run_started_by_entry_has_the_code_of_a_renamed_type(engine: Engine) -> None:
    """The new name was not there before, but the entry was: what it stood for may be known."""
    old = await deploy(engine, OLD)
    assert await _starting(engine) == old
    (engine.folder / "words.lua").write_text(NEW + "\nreturn { main = main }\n")
    index = engine.folder / "_index.json"
    tree = orjson.loads(index.read_bytes())
    tree["entries"][-1]["meta"]["temporal"]["workflow"]["name"] = "renamed"
    index.write_bytes(orjson.dumps(tree))
    await engine.deploy()
    assert await _starting(engine) != old


async def _starting(engine: Engine) -> str:
    handle = await engine.start("words")
    return str((await handle.describe())["bundle"])


async def test_a_new_place_in_the_code_gets_the_newest_version(engine: Engine) -> None:
    """Where a moved run asks for a version the first time now, it is the highest, and recorded."""
    later = NEW.replace('"words", 1, 2', '"words" .. i, 1, 2')
    await deploy(engine, OLD, **AUTO)
    await engine.worker()
    handle = await engine.start("words")
    await until(engine, handle, "WorkflowTaskCompleted")
    await tell(engine, handle)
    await deploy(engine, later, **AUTO)
    await tell(engine, handle, 3)
    assert await within(handle.result()) == ["new, as before", "new", "new", "new"]


async def test_code_that_differs_fails_the_task_not_the_run(engine: Engine) -> None:
    """An upgrade that does not fit waits as stuck, until code is deployed that fits."""
    await deploy(engine, OLD, **AUTO)
    worker = await engine.worker()
    await engine.scheduler()
    failed, fail = asyncio.Event(), worker.workflows._fail

    async def told(*how: Any) -> None:
        await fail(*how)
        failed.set()

    worker.workflows.__dict__["_fail"] = told
    handle = await engine.start("words")
    await until(engine, handle, "WorkflowTaskCompleted")
    await tell(engine, handle)
    await deploy(
        engine, NEW.replace("process.inbox", 'require("time").sleep(1) process.inbox'), **AUTO
    )
    await handle.signal("go")
    await within(failed.wait())
    found = await handle.describe()
    assert (found["status"], found["health"]["state"]) == ("running", "stuck")
    await deploy(engine, NEW, **AUTO)
    await engine.shift(10_000)
    await tell(engine, handle, 2)
    assert await handle.result(timeout=patience()) == ["new, as before"] * 4


@pytest.mark.parametrize("override", ["auto_upgrade", {"mode": "auto-upgrade"}])
async def test_an_override_moves_one_run(engine: Engine, override: Any) -> None:
    """Of a type whose runs are pinned, one may be told to upgrade."""
    await deploy(engine, OLD)
    await engine.worker()
    moving = await engine.start("words", versioning_override=override)
    staying = await engine.start("words")
    for handle in (moving, staying):
        await until(engine, handle, "WorkflowTaskCompleted")
    await deploy(engine, NEW)
    for handle in (moving, staying):
        await tell(engine, handle, 4)
    assert await within(staying.result()) == ["old"] * 4
    assert await within(moving.result()) == ["new"] * 4


async def test_a_type_says_it_for_itself(engine: Engine) -> None:
    """meta.temporal.workflow.versioning beats what the worker has for all of its types."""
    await deploy(engine, OLD, **AUTO)
    index = engine.folder / "_index.json"
    text = index.read_text()
    index.write_text(
        text.replace('{"worker":"worker"}', '{"worker":"worker","versioning":"pinned"}')
    )
    await engine.deploy()
    await engine.worker()
    handle = await engine.start("words")
    assert (await engine.history(handle))[0].body["versioning"] == "pinned"
    await tell(engine, handle, 4)
    assert await within(handle.result()) == ["old"] * 4


async def test_a_build_is_what_its_deploy_registered(engine: Engine) -> None:
    """A run pinned to a build begins with that build's code, whatever was deployed since."""

    def build(name: str) -> dict[str, Any]:
        return {"use_versioning": True, "deployment_name": "shop", "build_id": name}

    await deploy(engine, OLD, **build("1.0"))
    await deploy(engine, NEW, **build("2.0"))
    await engine.worker()

    async def run(version: dict[str, str] | None) -> Any:
        how = {"mode": "pinned", "version": version} if version else None
        handle = await engine.start("words", versioning_override=how)
        for _ in range(4):
            await handle.signal("go")
        return (await within(handle.result()))[0]

    assert await run({"deployment_name": "shop", "build_id": "1.0"}) == "old"
    assert await run({"deployment_name": "shop", "build_id": "2.0"}) == "new"
    assert await run(None) == "new"
    for unknown in (("shop", "3.0"), ("other", "1.0")):
        with pytest.raises(NotFound, match="there is no workflow type 'app:words' of the build"):
            await run({"deployment_name": unknown[0], "build_id": unknown[1]})


async def test_pinned_runs_read_nothing_more(engine: Engine) -> None:
    """Only what upgrades by itself looks at what is deployed: the hot path is as it was."""
    await deploy(engine, OLD)
    worker = await engine.worker()
    asked: list[str] = []
    deployed = worker.workflows._engines.deployed

    async def count(names: set[str], *more: set[str]) -> Any:
        asked.extend(names)
        return await deployed(names, *more)

    worker.workflows._engines.__dict__["deployed"] = count
    handle = await engine.start("words")
    await tell(engine, handle, 4)
    await within(handle.result())
    assert asked == []
    assert isinstance(worker.workflows._engines, Engines)


AGAIN = """
local workflow = require("workflow")
local function main(n)
  if n > 0 then return workflow.continue_as_new(n - 1) end
  return "old"
end
"""
OTHER = """
local function main(n) return process.upgrade("app:words", n) end
"""


async def test_another_type_is_taken_as_it_is_now(engine: Engine) -> None:
    """process.upgrade to a type begins with that type's present code; the same type keeps its."""
    await engine.deploy({"words": AGAIN, "other": OTHER})
    await engine.worker()
    assert await engine.execute("other", 2) == "old"
    handle = await engine.start("words", 0, id="pinned", start_delay="1h")
    await engine.deploy({"words": AGAIN.replace('"old"', '"new"'), "other": OTHER})
    assert await engine.execute("other", 2) == "new"
    await handle.signal("now")
    assert await within(handle.result()) == "old"
