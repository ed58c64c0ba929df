"""What cannot be opened stops its run, visibly, and heals; what cannot be sealed is not written."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from tests.support.engine import Engine, Make, within
from tests.support.mutants import proves, replaced

from luaflow.client.client import Client
from luaflow.codec import keys as codec_keys
from luaflow.domain.sealed import SealedPayload
from luaflow.errors import InvalidArgument, NotFound
from luaflow.objects import Folder
from luaflow.store.namespaces import update_namespace
from luaflow.store.objects_of import object_key, owner_of
from luaflow.store.orphans import Orphans
from luaflow.store.store import Store
from luaflow_worker import taken_activities

ECHO = {
    "flow": """
function main(x)
    return { got = x, told = process.inbox():receive():payload():data() }
end"""
}


def key() -> str:
    """A key as an environment variable has it."""
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Two keys in the environment, the first one in use."""
    monkeypatch.setenv("S7_ONE", key())
    monkeypatch.setenv("S7_TWO", key())
    monkeypatch.setenv("LUAFLOW_CODEC_KEYS", "k1:env:S7_ONE")
    monkeypatch.setattr(codec_keys, "AGAIN_SECONDS", 0.1)
    return monkeypatch


async def stuck(handle: Any) -> str:
    """Why a run is stuck, once it is."""
    async with asyncio.timeout(10):
        while (found := (await handle.describe())["health"])["state"] != "stuck":  # noqa: ASYNC110 - told on no channel
            await asyncio.sleep(0.02)
    return str(found["reason"]["message"])


def edit(engine: Engine, handle: Any, change: Any) -> None:
    """Write another text in the place of a run's first event, as somebody with access to Redis."""
    name = engine.store.partition(handle.workflow_id).hist(handle.run_id)
    with redis.Redis.from_url(engine.store.url) as server:
        (entry, fields), *rest = server.xrange(name)
        server.delete(name)
        fields[b"e"] = change(fields[b"e"])
        for id_, held in ((entry, fields), *rest):
            server.xadd(name, held, id=id_)


async def test_rotation_old_key_opens_new_key_seals(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    engine = await make_engine(codec="aes-gcm")
    await engine.deploy(ECHO)
    old = await engine.start("flow", "old")
    keys.setenv("LUAFLOW_CODEC_KEYS", "k2:env:S7_TWO,k1:env:S7_ONE")
    await engine.worker()
    store = await Store.open(engine.store.url, engine.store.namespace)
    try:
        new = await Client(store).start("app:flow", "new")
        await Client(store).get_handle(old.workflow_id).signal("go", 1)
        await new.signal("go", 2)
        assert await within(new.result()) == {"got": "new", "told": 2}
        assert await within(Client(store).get_handle(old.workflow_id).result()) == {
            "got": "old",
            "told": 1,
        }
        store.border, border = None, store.border
        p = store.partition(new.workflow_id)
        (raw,) = await store.read(("XRANGE", p.hist(str(new.run_id)), "-", "+"))
        assert b'"k":"k2"' in raw[0][1][5]
        store.border = border
    finally:
        await store.close()
    engine.store, mine = await Store.open(engine.store.url, engine.store.namespace), engine.store
    await mine.close()


async def test_a_missing_key_stops_the_run_visibly_and_heals(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = await make_engine(codec="zlib+aes-gcm")
    await engine.deploy(ECHO)
    handle = await engine.start("flow", "x")
    folder = tmp_path / "keys.json"
    folder.write_text(f'{{"k9": "{key()}"}}')
    keys.setenv("LUAFLOW_CODEC_KEYS", str(folder))
    await engine.worker()
    assert "the key 'k1', which is not known here" in await stuck(handle)
    before = await engine.fields(handle)
    assert before["len"] == "1"  # nothing half-written
    folder.write_text(orjson.dumps({"k1": os.environ["S7_ONE"]}).decode())
    await engine.scheduler()
    await handle.signal("go", 1)
    async with asyncio.timeout(20):
        assert await handle.result() == {"got": "x", "told": 1}


async def test_an_activity_without_its_key_is_given_back_and_stays_the_same_attempt(
    make_engine: Make,
    keys: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys.setattr(taken_activities, "SEALED_MS", 100)
    engine = await make_engine(codec="aes-gcm")
    await engine.deploy(
        {
            "flow": """
            local funcs = require("funcs")
            local once = { ["activity.retry_policy"] = { maximum_attempts = 1 } }
            function main(x)
                return funcs.new():with_options(once):call("app:work", x)
            end"""
        },
        activities={"work": "function main(x) return x .. '!' end"},
    )
    handle = await engine.start("flow", "x")
    await engine.worker(role="workflow")
    await engine.scheduler()
    folder, waits = tmp_path / "keys.json", "waits: a payload is encrypted with the key 'k1'"
    folder.write_text(orjson.dumps({"k9": key()}).decode())
    keys.setenv("LUAFLOW_CODEC_KEYS", str(folder))
    with caplog.at_level("ERROR", "luaflow_worker.activity_tasks"):
        await engine.worker(role="activity")
        async with asyncio.timeout(10):
            while caplog.text.count(waits) < 2:  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.02)
    folder.write_text(orjson.dumps({"k1": os.environ["S7_ONE"]}).decode())
    assert await within(handle.result()) == "x!"


@pytest.mark.parametrize("what", ["tampered", "moved"])
async def test_changed_bytes_and_moved_payloads_are_refused(
    make_engine: Make, keys: pytest.MonkeyPatch, what: str
) -> None:
    engine = await make_engine(codec="aes-gcm")
    await engine.deploy(ECHO)
    handle, other = await engine.start("flow", "x"), await engine.start("flow", "y")
    held: dict[str, bytes] = {}

    def keep(text: bytes) -> bytes:
        held["e"] = text
        return text

    def change(text: bytes) -> bytes:
        head, mark, tail = text.partition(b'"d":"')
        if what == "tampered":
            return head + mark + (b"A" if tail[:1] != b"A" else b"B") + tail[1:]
        payload = held["e"].partition(b'"input":[')[2].partition(b"]")[0]
        begin, _, rest = text.partition(b'"input":[')
        return begin + b'"input":[' + payload + b"]" + rest.partition(b"]")[2]

    edit(engine, other, keep)
    original: dict[str, bytes] = {}

    def swap(text: bytes) -> bytes:
        original["e"] = text
        return change(text)

    edit(engine, handle, swap)
    await engine.worker()
    assert "its bytes were changed, it belongs to another workflow" in await stuck(handle)
    await other.signal("go", 1)
    assert (await within(other.result()))["got"] == "y"
    edit(engine, handle, lambda _: original["e"])
    await handle.terminate()


async def test_large_payloads_are_files_until_their_run_goes(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "large"
    engine = await make_engine(
        codec="aes-gcm", payload_store=folder.as_uri(), offload_bytes=1000, payload_max_bytes=5000
    )
    await engine.deploy(
        {
            "flow": """
        local funcs = require("funcs")
        function main(x) return funcs.call("app:grow", x) end"""
        },
        activities={"grow": "function main(x) return x .. x end"},
    )
    large = "L" * 20_000
    handle = await engine.start("flow", large)
    assert int((await engine.fields(handle))["size"]) < 2000  # (what stands in Redis)
    assert engine.store.objects
    (first,) = await engine.store.objects.keys("")
    p = engine.store.partition(handle.workflow_id)
    assert owner_of(first) == (p.number, "w", handle.workflow_id)
    away = folder.with_name("away")
    shutil.move(folder, away)
    await engine.worker()
    assert "is missing: restore it, and it goes on" in await stuck(handle)
    shutil.move(away, folder)
    await engine.scheduler()
    async with asyncio.timeout(20):
        assert await handle.result() == large * 2
    assert "r" in await kinds(engine)


async def kinds(engine: Engine) -> set[str]:
    """Whose objects there are: of runs, of workflow ids."""
    assert engine.store.objects
    found = map(owner_of, await engine.store.objects.keys(""))
    return {owner[1] for owner in found if owner}


async def test_objects_go_with_their_run_and_orphans_are_swept(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed between its object and its start, a client leaves an orphan: the sweep finds it."""
    engine = await make_engine(
        payload_store=(tmp_path / "large").as_uri(), offload_bytes=1000, retention_ms=200
    )
    await engine.deploy({"flow": "function main(x) return x .. x end"})
    await engine.worker()
    large = "L" * 2000
    handle = await engine.start("flow", large)
    assert await within(handle.result()) == large * 2
    assert engine.store.objects
    name = engine.store.namespace
    await engine.store.objects.put(object_key(name, 3, "w", "never/started", "00"), b"x")
    await engine.scheduler()
    async with asyncio.timeout(10):
        while "r" in await kinds(engine):  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.05)
    await engine.store.objects.put(object_key(name, 3, "r", "never", "00"), b"x")
    orphans = Orphans(engine.store, grace=0.0)
    slow = Orphans(engine.store, grace=3600.0)
    assert await slow.sweep() == 0
    running = await engine.start("flow", large)
    assert await orphans.sweep() == 3  # the two that never were, and the input of the removed run
    assert await within(running.result()) == large * 2


async def _forgets(_folder: Folder, _key: str, _data: bytes) -> None:
    """Say that it is kept, and keep nothing."""


@proves(replaced(Folder, "put", _forgets))
async def test_nothing_is_started_whose_object_could_not_be_kept(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The object comes first: an event never names what is not there."""
    folder = tmp_path / "large"
    engine = await make_engine(payload_store=folder.as_uri(), offload_bytes=1000)
    await engine.deploy({"flow": "function main(x) return x end"})
    folder.write_text("no folder")
    with pytest.raises(SealedPayload, match="cannot be stored"):
        await engine.start("flow", "L" * 2000, id="w")
    with pytest.raises(NotFound):
        await engine.client.get_handle("w").describe()
    folder.unlink()
    await engine.worker()
    assert await engine.execute("flow", "L" * 2000, id="w") == "L" * 2000


async def test_settings_that_would_lose_payloads_are_refused(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    engine = await make_engine(codec="aes-gcm")
    link, name = engine.store.link, engine.store.namespace
    with pytest.raises(InvalidArgument, match="codec must be read, not none"):
        await update_namespace(link, name, codec="none")
    with pytest.raises(InvalidArgument, match="codec must be one of none, read, zlib"):
        await update_namespace(link, name, codec="rot13")
    assert (await update_namespace(link, name, codec="read")).codec == "read"
