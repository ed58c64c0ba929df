"""Sealed and offloaded payloads of runs that are packed, archived and removed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.codec.test_border import SECRET, key, nowhere
from tests.protocol.test_archive import in_redis, leave
from tests.protocol.test_packed import plain, settle
from tests.support.engine import Engine, Make, within
from tests.support.mutants import proves, replaced

from luaflow import archive
from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.codec import keys as codec_keys
from luaflow.domain.sealed import SealedPayload
from luaflow.errors import NotFound, Refused
from luaflow.store import store as store_module
from luaflow.store.objects_of import object_key, owner_of
from luaflow.store.orphans import FEW, Orphans
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_scheduler import removing
from luaflow_scheduler.dates import BROKEN_MS
from luaflow_scheduler.orphans import OrphanSweep

LARGE = SECRET * 300
FLOW = """
local workflow = require("workflow")
function main(input)
    workflow.on_query("seen", function(x) return { input, x } end)
    workflow.on_update("set", function(x) return { was = x } end)
    workflow.set_view("shown", input)
    workflow.attrs({ memo = { later = input.text }, search = { status = "open" } })
    return process.listen("go"):receive()
end
"""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One key, k1, in the environment; what is looked at again is so soon."""
    monkeypatch.setenv("S7_KEY", key())
    monkeypatch.setenv("LUAFLOW_CODEC_KEYS", "k1:env:S7_KEY")
    monkeypatch.setattr(codec_keys, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(store_module, "SETTINGS_SECONDS", 0.2)
    return monkeypatch


async def closed_run(engine: Engine) -> Handle:
    """A run with small and large payloads of every kind, which is over."""
    if not engine.workers:
        await engine.deploy({"flow": FLOW})
        await engine.worker()
    handle = await engine.start(
        "flow", {"text": SECRET, "large": LARGE}, options={"workflow.memo": {"note": SECRET}}
    )
    assert await within(handle.update("set", LARGE, update_id="u1")) == {"was": LARGE}
    await handle.signal("go", {"said": LARGE})
    assert await within(handle.result()) == {"said": LARGE}
    return handle


@contextlib.asynccontextmanager
async def without_keys(engine: Engine) -> AsyncIterator[Engine]:
    """The engine with the store of a scheduler, which passes on what is sealed."""
    mine = engine.store
    engine.store = await Store.open(mine.url, mine.namespace)
    engine.store.only_carry()
    try:
        yield engine
    finally:
        await engine.store.close()
        engine.store = mine


def clear_text(*folders: Path) -> list[Path]:
    """The files that have the secret, also when they are unpacked."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        if SECRET.encode() in data and b"require(" not in data:  # (bundles are code)
            found.append(path)
    return found


async def _as_it_is(_store: Store, run: archive.Archived) -> archive.Archived:
    return run


@proves(replaced(archive, "opened_run", _as_it_is))
async def test_a_sealed_run_is_packed_and_archived_without_keys_and_read_with_them(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Description, history, result, query, view and update's result, from Redis and archive."""
    engine = await make_engine(
        codec="zlib+aes-gcm",
        payload_store=(tmp_path / "large").as_uri(),
        offload_bytes=200,
        archive=(tmp_path / "archive").as_uri(),
    )
    handle = await closed_run(engine)
    before = await handle.describe(), plain(await engine.history(handle))
    assert before[0]["memo"] == {"note": SECRET, "later": SECRET}
    p = engine.store.partition(handle.workflow_id)
    async with without_keys(engine) as blind:
        assert not await settle(blind.store)
    nowhere(engine)
    assert await engine.store.read(("EXISTS", p.hist(str(handle.run_id)))) == [0]
    assert (await handle.describe(), plain(await engine.history(handle))) == before
    await _answers(engine, handle)
    async with without_keys(engine) as blind:
        assert not await leave(blind, handle)
    assert not await in_redis(engine, handle)
    nowhere(engine)
    for one in (handle, engine.client.get_handle(handle.workflow_id)):
        assert await one.describe() == before[0] | {"archived": True}
        assert plain(await engine.history(one)) == before[1]
        await _answers(engine, one)
    assert await engine.client.list_archived() == [before[0] | {"archived": True}]
    assert not clear_text(tmp_path / "large", tmp_path / "archive")
    orphans = OrphanSweep(engine.store, grace=0.0)
    assert await orphans.sweep() == 0  # they belong to the archived run
    keys.delenv("LUAFLOW_CODEC_KEYS")
    await _tells_the_blind(engine, handle)


async def _answers(engine: Engine, handle: Handle) -> None:
    assert await within(handle.result()) == {"said": LARGE}
    assert await within(handle.query("seen", SECRET)) == [{"text": SECRET, "large": LARGE}, SECRET]
    assert await handle.view("shown") == await handle.query("shown")
    assert (await handle.view("shown"))["text"] == SECRET
    assert await within(handle.get_update("u1").result()) == {"was": LARGE}
    with pytest.raises(NotFound, match="it shows shown"):
        await handle.view("other")
    with pytest.raises(NotFound):
        await handle.get_update("u2").result()


async def _tells_the_blind(engine: Engine, handle: Handle) -> None:
    """Without keys: the tagged form, or an error that says what is missing."""
    async with await Client.connect(engine.store.url, engine.store.namespace) as client:
        there = client.get_handle(handle.workflow_id)
        described = await there.describe()
        assert described["search_attributes"] == {"status": "open"}
        assert described["memo"]["note"]["$lf"] == "sealed"
        assert described["views"]["shown"]["$lf"] == "sealed"
        (listed,) = await client.list_archived()
        assert listed["memo"] == described["memo"]
        missing = "the key 'k1', which is not known here"
        for ask in (there.result(), there.view("shown"), there.get_update("u1").result()):
            with pytest.raises(SealedPayload, match=missing):
                await within(ask)
        with pytest.raises(Refused, match="takes encrypted payloads only"):
            await within(there.query("seen", 1))
        text = b"".join([event.raw async for event in there.history()])
        assert SECRET.encode() not in text


async def _nothing(*_: object) -> int:
    return 0


async def _nowhere(*_: object) -> bool:
    return False


@proves(replaced(removing, "forget_payloads", _nothing))
async def test_objects_go_with_a_removed_run(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of the run at once, those of its workflow id with the sweep."""
    engine, _ = await _left(make_engine, tmp_path, "")
    assert {kind for kind, _ in await owned(engine)} == {"w"}
    assert await OrphanSweep(engine.store, grace=3600.0).sweep() == 0
    assert await OrphanSweep(engine.store, grace=0.0).sweep() == 1
    assert not await owned(engine)


@proves(replaced(OrphanSweep, "_is_archived", _nowhere))
async def test_objects_stay_with_an_archived_run(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is read from them, by whoever has the archive."""
    engine, handle = await _left(make_engine, tmp_path, (tmp_path / "archive").as_uri())
    assert {kind for kind, _ in await owned(engine)} == {"r", "w"}
    await OrphanSweep(engine.store, grace=0.0).sweep()
    assert await within(handle.result()) == [LARGE, "own"]


async def _left(make_engine: Make, tmp_path: Path, archive: str) -> tuple[Engine, Handle]:
    """A run with large payloads whose retention is over."""
    folder = (tmp_path / "large").as_uri()
    engine = await make_engine(payload_store=folder, offload_bytes=200, archive=archive)
    await engine.deploy({"flow": 'function main(x) return { x, "own" } end'})
    await engine.worker()
    handle = await engine.start("flow", LARGE)
    await within(handle.result())
    assert {kind for kind, _ in await owned(engine)} == {"r", "w"}
    async with without_keys(engine) as blind:
        assert not await leave(blind, handle)
    return engine, handle


async def test_a_run_that_leaves_while_it_is_looked_at(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Found on the server, and gone when it is read: it is in the archive by then."""
    engine = await make_engine(codec="zlib", archive=(tmp_path / "archive").as_uri())

    async def events(handle: Handle) -> list[tuple[int, int, str, bytes]]:
        return plain(await engine.history(handle))

    asks: tuple[Callable[[Handle], Awaitable[Any]], ...] = (
        lambda handle: handle.describe(),
        events,
        lambda handle: handle.view("shown"),
        lambda handle: handle.query("seen", 1),
        lambda handle: handle.get_update("u1").result(),
    )
    handle = await closed_run(engine)
    real, leaving = engine.store.route, list[Handle]()

    async def route(workflow_id: str, run_id: str | None = None) -> Route:
        found = await real(workflow_id, run_id)
        if leaving:
            async with without_keys(engine) as blind:
                assert not await leave(blind, leaving.pop())
        return found

    engine.store.__dict__["route"] = route
    for number, ask in enumerate(asks):
        if number:
            handle = await closed_run(engine)
        before = await within(ask(handle))
        leaving.append(handle)
        after = await within(ask(handle))
        assert not await in_redis(engine, handle)
        assert after == (before | {"archived": True} if number == 0 else before), number
    del engine.store.__dict__["route"]


async def owned(engine: Engine) -> list[tuple[str, str]]:
    """Kind and id of each object's owner."""
    assert engine.store.objects
    found = map(owner_of, await engine.store.objects.keys(""))
    return [owner[1:] for owner in found if owner]


async def test_an_archive_that_shows_nothing_lets_nothing_be_swept(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A disk that is not mounted is an empty folder."""
    engine = await make_engine(
        payload_store=(tmp_path / "large").as_uri(), archive=(tmp_path / "archive").as_uri()
    )
    assert engine.store.objects
    name = object_key(engine.store.namespace, 3, "w", "never", "00")
    await engine.store.objects.put(name, b"x")
    assert await OrphanSweep(engine.store, grace=0.0).sweep() == 0
    assert await owned(engine) == [("w", "never")]


CHAIN = """
local workflow = require("workflow")
function main(x)
    if x.n > 0 then return workflow.continue_as_new({ n = x.n - 1, text = x.text }) end
    return process.listen("go"):receive()
end
"""


async def test_the_objects_of_a_long_chain_are_bounded(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those go that no kept run refers to; of runs that are kept, packed or not, all stay."""
    turns = FEW + 8
    engine = await make_engine(payload_store=(tmp_path / "large").as_uri(), offload_bytes=200)
    await engine.deploy({"chain": CHAIN})
    await engine.worker()
    first = await engine.start("chain", {"n": turns, "text": LARGE}, id="w")
    handle, runs = engine.client.get_handle("w"), [first.run_id]
    while len(runs) <= turns:
        last = [e async for e in engine.client.get_handle("w", runs[-1]).history(follow=True)][-1]
        runs.append(last.body["new_run_id"])
    assert [kind for kind, _ in await owned(engine)].count("w") == turns + 1
    orphans = Orphans(engine.store, grace=0.0)
    assert await orphans.sweep() == 0
    async with without_keys(engine) as blind:
        assert not await settle(blind.store)
    assert await orphans.sweep() == 0
    for run_id in runs[:3]:
        async with without_keys(engine) as blind:
            assert not await leave(blind, engine.client.get_handle("w", run_id))
    assert await Orphans(engine.store, grace=3600.0).sweep() == 0
    assert await orphans.sweep() == 3
    kept = engine.client.get_handle("w", runs[3])
    assert (await engine.history(kept))[0].body["input"][0]["text"] == LARGE
    await handle.signal("go", LARGE)
    assert await within(handle.result()) == LARGE


async def _hangs(*_: object) -> None:
    await asyncio.Event().wait()


async def test_an_archive_that_hangs_holds_nobody_up_for_long(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The timers of a partition wait for its removals: these give up, and come back."""
    engine = await make_engine(archive=(tmp_path / "archive").as_uri())
    handle = await closed_run(engine)
    keys.setattr(removing, "LONGEST_SECONDS", 0.1)
    with keys.context() as hanging:
        hanging.setattr(archive.Archive, "put", _hangs)
        assert [ms for _, ms in await within(leave(engine, handle))] == [BROKEN_MS]
    assert await in_redis(engine, handle)
    keys.setattr(removing, "LONGEST_SECONDS", 5.0)
    keys.setattr(removing, "BUDGET_SECONDS", -1.0)
    assert [ms for _, ms in await within(leave(engine, handle))] == [0]
    keys.setattr(removing, "BUDGET_SECONDS", 1.0)
    assert not await leave(engine, handle)
    assert not await in_redis(engine, handle)
