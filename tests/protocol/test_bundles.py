"""Bundles go a day after the last name of them is gone, and not while anything names them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.engine import Engine
from tests.support.mutants import proves, replaced

from luaflow.errors import NotFound
from luaflow.store import bundles, keys
from luaflow.store.deployed import delete_build, list_builds, resolve, resolve_build
from luaflow_scheduler import bundles as sweeping
from luaflow_scheduler.bundles import GRACE_MS, BundleSweep
from luaflow_scheduler.gauges import Gauges

OLD = 'local function main() return require("workflow") and "old" end'
NEW = 'local function main() return require("workflow") and "new" end'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of one run or message, and no pause between them."""
    monkeypatch.setattr(sweeping, "PAUSE", 0)
    monkeypatch.setattr(bundles, "SLICE", 1)


async def _deploy(engine: Engine, text: str, **worker: Any) -> str:
    await engine.deploy({"w": text}, worker=worker)
    return (await resolve(engine.store, "app:w")).bundle


async def _left(engine: Engine, name: str) -> int:
    """The ms until a bundle goes; -1 where it stays, -2 where it is gone."""
    key = keys.bundle(engine.store.namespace, name)
    return int((await engine.store.read(("PTTL", key)))[0])


@proves(
    replaced(sweeping, "GRACE_MS", GRACE_MS * 100),
    replaced(bundles, "keep", lambda _store, _names: _nothing()),
)
async def test_a_bundle_without_a_name_goes_a_day_later(engine: Engine) -> None:
    """The day begins when it is first seen without a name; a name or a deploy ends it."""
    sweep = BundleSweep(engine.store, lambda: True)
    assert await sweep.look() == []
    old, new = await _deploy(engine, OLD), await _deploy(engine, NEW)
    assert await sweep.look() == [old]
    assert 0 < (first := await _left(engine, old)) <= 24 * 3600 * 1000
    assert await _left(engine, new) == -1
    assert await sweep.look() == []
    assert await _left(engine, old) <= first
    # deployed again, it stays at once; what it takes the place of goes
    assert await _deploy(engine, OLD) == old
    assert await _left(engine, old) == -1
    assert await sweep.look() == [new]
    # a deploy of a release before leaves the bundle as it is, and names it: a look sees that
    await bundles.let_go(engine.store, {old}, GRACE_MS)
    assert await sweep.look() == []
    assert await _left(engine, old) == -1


async def _nothing() -> int:
    return 0


async def _none(*_: object) -> Any:
    return
    yield set()


@proves(replaced(bundles, "named_by_runs", _none))
async def test_what_a_run_began_with_stays(engine: Engine) -> None:
    """Runs name their code, open and closed, and so does the next run that waits to be opened."""
    sweep = BundleSweep(engine.store, lambda: True)
    old, third = await _deploy(engine, OLD), await _deploy(engine, f"-- third\n{NEW}")
    await engine.deploy({"w": OLD})
    handles = [await engine.start("w", id=f"w{n}") for n in range(3)]
    new = await _deploy(engine, NEW)
    assert await sweep.look() == [third]
    assert await _left(engine, old) == await _left(engine, new) == -1
    for handle in handles:
        await handle.terminate()
    run = engine.store.partition(handles[0].workflow_id).run(str(handles[0].run_id))
    await engine.store.read(("HSET", run, "n:bundle", third))
    assert await sweep.look() == []
    await engine.store.read(("HDEL", run, "n:bundle"))
    assert await _left(engine, old) == await _left(engine, third) == -1


@proves(replaced(bundles, "named_by_messages", _none))
async def test_what_a_start_under_way_names_stays(engine: Engine) -> None:
    """A child's start that has not arrived names the code of the child."""
    old, new = await _deploy(engine, OLD), await _deploy(engine, NEW)
    third = await _deploy(engine, f"-- third\n{NEW}")
    box = engine.store.partitions[0].outbox(1)
    for number, name in enumerate((old, new), 1):
        mail = f'{{"k":"start","bundle":"{name}"}}'
        await engine.store.read(("XADD", box, f"{number}-0", "e", "1", "m", mail))
    assert await BundleSweep(engine.store, lambda: True).look() == []
    await engine.store.read(("DEL", box))
    assert await _left(engine, old) == await _left(engine, new) == await _left(engine, third) == -1


async def test_a_build_names_its_code_until_it_is_deleted(engine: Engine) -> None:
    """A build that no worker is of may be deleted; then its code goes as other code does."""
    sweep = BundleSweep(engine.store, lambda: True)

    def build(name: str) -> dict[str, Any]:
        return {"use_versioning": True, "deployment_name": "shop", "build_id": name}

    old = await _deploy(engine, OLD, **build("1.0"))
    new = await _deploy(engine, NEW, **build("2.0"))
    assert await sweep.look() == []
    assert await list_builds(engine.store) == {
        ("shop", "1.0"): {"app:w": old},
        ("shop", "2.0"): {"app:w": new},
    }
    assert await delete_build(engine.store, "shop", "1.0") == 1
    with pytest.raises(NotFound, match=r"of the build '1\.0'"):
        await resolve_build(engine.store, "app:w", "shop", "1.0")
    with pytest.raises(NotFound, match=r"there is no build '1\.0' of 'shop'"):
        await delete_build(engine.store, "shop", "1.0")
    assert (await resolve_build(engine.store, "app:w", "shop", "2.0")).bundle == new
    assert await sweep.look() == [old]


async def test_the_leader_looks(engine: Engine) -> None:
    """A scheduler that does not lead leaves bundles alone; the service looks by itself."""
    old = await _deploy(engine, OLD)
    await _deploy(engine, NEW)
    leads = False
    sweep = BundleSweep(engine.store, lambda: leads, period=0)
    await sweep.round()
    assert await _left(engine, old) == -1
    leads = True
    await sweep.round()
    assert await _left(engine, old) > 0


async def test_one_scheduler_leads(engine: Engine) -> None:
    """It is the one whose gauges count."""
    first, second = await engine.scheduler(), await engine.scheduler()
    gauges: list[Gauges] = [one._gauges for one in (first, second)]
    for one in gauges:
        await one._sample()
    assert [one.leads for one in gauges].count(True) == 1
