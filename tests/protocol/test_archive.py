"""Runs whose retention is over go to the archive, and answer from there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.protocol.test_packed import order, plain, settle
from tests.support.engine import Engine, until
from tests.support.mutants import proves, replaced

from luaflow.archive import Archive, open_archive
from luaflow.client.handle import Handle
from luaflow.errors import NotFound
from luaflow.store import keys, past
from luaflow.store.keeping import keep_run
from luaflow.store.namespaces import Settings, update_namespace
from luaflow_scheduler.dates import Date
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.removing import remove
from luaflow_scheduler.retention import Retention


async def leave(
    engine: Engine, handle: Handle, rules: Retention | None = None
) -> list[tuple[Date, int]]:
    """The retention of a run is over: a scheduler acts on it; return what has to wait."""
    p, run_id = engine.store.partition(handle.workflow_id), str(handle.run_id)
    await engine.store.one(keep_run(partition=p, run_id=run_id, verb="settle", ms=1))
    await asyncio.sleep(0.01)
    metrics = SchedulerMetrics(CollectorRegistry())
    date = Date(p.gc, run_id, "0")
    return await remove(engine.store, p, [date], metrics, rules or Retention(engine.store))


_settings = Retention.settings


async def lately(self: Retention, *, now: bool = False) -> Settings:
    """Settings as they were a moment ago, also where it matters that they are not."""
    return await _settings(self)


@proves(replaced(Retention, "settings", lately))
async def test_an_archive_that_was_just_set_gets_what_goes(engine: Engine, tmp_path: Path) -> None:
    """Settings may be seconds old, but nothing is deleted by them that can now be kept."""
    handle, rules = await order(engine), Retention(engine.store)
    await rules.settings()
    await archived_at(engine, f"file://{tmp_path}/archive")
    assert not await leave(engine, handle, rules)
    assert await handle.result()


async def in_redis(engine: Engine, handle: Handle) -> bool:
    """Whether anything of the run is still there."""
    p, run_id = engine.store.partition(handle.workflow_id), str(handle.run_id)
    return any(
        await engine.store.read(*(("EXISTS", k) for k in p.of_run(handle.workflow_id, run_id)[1:]))
    )


async def archived_at(engine: Engine, url: str) -> None:
    """Give the namespace an archive."""
    await update_namespace(engine.store.link, engine.store.namespace, archive=url)


@pytest.mark.parametrize("pack", [True, False])
async def test_an_archived_run_answers(engine: Engine, tmp_path: Path, *, pack: bool) -> None:
    """By workflow id and by run id: description, history, result and queries, replayed."""
    await archived_at(engine, f"file://{tmp_path}/archive")
    handle = await order(engine)
    if pack:
        assert not await settle(engine.store)
    before = await handle.describe()
    events, result = plain(await engine.history(handle)), await handle.result()
    assert not await leave(engine, handle)
    assert not await in_redis(engine, handle)
    # its code is known from the archive, too
    name = before["bundle"]
    await engine.store.read(("DEL", keys.bundle(engine.store.namespace, name)))
    await engine.retire(engine.workers[0])
    await engine.worker()
    for one in (handle, engine.client.get_handle(handle.workflow_id)):
        assert await one.describe() == before | {"archived": True}
        assert plain(await engine.history(one)) == events
        assert await one.result() == result
        assert await one.query("step") == "all done"
    with pytest.raises(NotFound, match="no run"):
        await engine.client.get_handle(handle.workflow_id, "f" * 32).describe()
    with pytest.raises(NotFound, match="no workflow"):
        await engine.history(engine.client.get_handle("nobody"))
    archive = await open_archive(engine.store)
    assert archive
    assert [run.run_id for run in await archive.newest(5)] == [handle.run_id]


async def test_an_archive_that_cannot_be_reached_costs_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    """Nothing is removed until it can: then the run goes."""
    (tmp_path / "archive").write_text("a file where the folder should be")
    await archived_at(engine, f"file://{tmp_path}/archive")
    handle = await order(engine)
    assert len(await leave(engine, handle)) == 1
    assert await in_redis(engine, handle)
    assert (await engine.history(handle))[-1].type == "WorkflowExecutionCompleted"
    (tmp_path / "archive").unlink()
    assert not await leave(engine, handle)
    assert not await in_redis(engine, handle)
    assert (await handle.describe())["archived"]


async def lost(_: Archive, __: object) -> None:
    """Keep nothing."""


@proves(replaced(Archive, "put", lost))
async def test_a_run_leaves_only_when_it_is_archived(engine: Engine, tmp_path: Path) -> None:
    """What was removed is in the archive."""
    await archived_at(engine, f"file://{tmp_path}/archive")
    handle = await order(engine)
    await leave(engine, handle)
    assert await engine.history(handle)


async def test_a_run_that_leaves_while_it_is_read_is_read_to_the_end(
    engine: Engine, tmp_path: Path
) -> None:
    """Its history has no gap and no early end; a description finds it, too."""
    await archived_at(engine, f"file://{tmp_path}/archive")
    handle = await order(engine)
    before = plain(await engine.history(handle))
    route = await engine.store.route(handle.workflow_id)
    with replaced(past, "PAGE", 4)():
        reading = handle.history()
        first = [await anext(reading)]
        assert not await leave(engine, handle)
        assert plain(first + [event async for event in reading]) == before
    with replaced(Handle, "_reach", lambda _: asyncio.sleep(0, route))():
        assert (await handle.describe())["archived"]


CHAIN = """
local workflow = require("workflow")
local function main(n)
  if n == 1 then return workflow.continue_as_new(2) end
  return process.listen("go"):receive()
end
"""


async def test_the_first_run_of_a_chain_is_itself_in_the_archive(
    engine: Engine, tmp_path: Path
) -> None:
    """Its run id means it, although the chain that it began goes on."""
    await archived_at(engine, f"file://{tmp_path}/archive")
    await engine.deploy({"chain": CHAIN})
    await engine.worker()
    first = await engine.start("chain", 1)
    await until(engine, first, "WorkflowExecutionContinuedAsNew")
    assert not await leave(engine, first)
    found = await first.describe()
    assert (found["run_id"], found["status"]) == (first.run_id, "continued_as_new")
    assert (await engine.types(first))[-1] == "WorkflowExecutionContinuedAsNew"
    await first.signal("go", "done")
    assert await first.result(timeout=10) == "done"


async def test_the_newest_run_of_an_id_is_found(engine: Engine, tmp_path: Path) -> None:
    """Of two archived runs of one workflow id the id alone means the later one."""
    await archived_at(engine, f"file://{tmp_path}/archive")
    first = await order(engine)
    assert not await leave(engine, first)
    second = await engine.start("order", {"id": 8}, id=first.workflow_id)
    await second.result(timeout=10)
    assert not await leave(engine, second)
    assert (await engine.client.get_handle(first.workflow_id).describe())["run_id"] == second.run_id
    assert (await first.describe())["run_id"] == first.run_id
