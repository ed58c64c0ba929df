"""Settings of a namespace that are changed while its processes run: codec, stores, retention."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.codec.test_border import SECRET, key, nowhere
from tests.codec.test_kept import owned
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import proves, replaced
from tests.support.processes import Program

from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.codec import keys as codec_keys
from luaflow.domain.sealed import SealedPayload
from luaflow.errors import NotFound, Refused
from luaflow.store import store as store_module
from luaflow.store.namespaces import update_namespace
from luaflow.store.store import Store
from luaflow_scheduler import orphans, retention
from luaflow_scheduler.orphans import OrphanSweep

FLOW = """
local time = require("time")
function main(x)
    local told = process.inbox():receive():payload():data()
    return { x, told }
end
"""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One key, k1, in the environment; settings are looked at again at once."""
    monkeypatch.setenv("S7_KEY", key())
    monkeypatch.setenv("LUAFLOW_CODEC_KEYS", "k1:env:S7_KEY")
    monkeypatch.setattr(codec_keys, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(store_module, "SETTINGS_SECONDS", 0.0)
    return monkeypatch


async def change(engine: Engine, **settings: Any) -> None:
    """Change the settings of the namespace, as the command line does."""
    await update_namespace(engine.store.link, engine.store.namespace, **settings)


def nothing(*_: object, **__: object) -> None:
    """Take nothing over."""


@proves(replaced(Store, "_open_border", nothing))
async def test_an_idle_process_sends_nothing_by_settings_of_old(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    """The first thing it says once its settings are too old is sealed already, whoever says it."""
    engine = await make_engine()
    await engine.deploy({"flow": FLOW})
    old = await engine.start("flow", "plain")
    await change(engine, codec="zlib+aes-gcm")
    started = await asyncio.gather(*(engine.start("flow", SECRET) for _ in range(8)))
    await old.signal("go", SECRET)
    nowhere(engine)
    await engine.worker()
    for handle in started:
        await handle.signal("go", SECRET)
        assert await within(handle.result()) == [SECRET, SECRET]
    assert await within(old.result()) == ["plain", SECRET]
    nowhere(engine)
    await change(engine, codec="read")
    assert await within(started[0].result()) == [SECRET, SECRET]
    late = await engine.start("flow", SECRET)
    await late.signal("go", 1)
    assert await within(late.result()) == [SECRET, 1]
    assert "sealed" not in str(await engine.store.link.batch([("HGETALL", _run(late, engine))]))
    with pytest.raises(AssertionError):
        nowhere(engine)


def _run(handle: Handle, engine: Engine) -> str:
    return engine.store.partition(handle.workflow_id).hist(str(handle.run_id))


@proves(replaced(Store, "look_soon", nothing))
async def test_a_worker_that_meets_a_sealed_payload_looks_at_the_settings(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    """It need not wait for its next look: the task fails once, an activity is given back once."""
    keys.setattr(store_module, "SETTINGS_SECONDS", 3600.0)
    keys.setattr("luaflow_worker.taken_activities.SEALED_MS", 100)
    engine = await make_engine()
    await engine.deploy(
        {"flow": FLOW}, activities={"work": "function main(x) return { done = x } end"}
    )
    await engine.worker()
    await engine.scheduler()
    await change(engine, codec="aes-gcm")
    async with await Client.connect(engine.store.url, engine.store.namespace) as client:
        job = await client.enqueue("app:work", SECRET, queue="q")
        handle = await client.start("app:flow", SECRET)
        await handle.signal("go", 1)
        assert await within(handle.result()) == [SECRET, 1]
        assert await within(job.result()) == {"done": SECRET}
    nowhere(engine)
    engine.store._look_at = 0.0
    await engine.store.read(("PING",))  # (histories are replayed at the end)


async def test_a_running_process_without_the_key_refuses_and_heals(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    """A client says so, a run is stuck visibly; both go on when the key is there."""
    engine = await make_engine()
    await engine.deploy({"flow": FLOW})
    await engine.worker()
    await engine.scheduler()
    handle = await engine.start("flow", "plain")
    await until(engine, handle, "WorkflowTaskCompleted")
    keys.setenv("LUAFLOW_CODEC_KEYS", "k1:env:S7_LATER")  # there is no such variable
    await change(engine, codec="aes-gcm")
    with pytest.raises(Refused, match="takes encrypted payloads only"):
        await engine.start("flow", SECRET)
    with pytest.raises(Refused, match="takes encrypted payloads only"):
        await handle.signal("go", SECRET)
    worker = engine.workers[0]
    await worker.store.read(("PING",))
    keys.setenv("LUAFLOW_CODEC_KEYS", "k1:env:S7_KEY")
    async with await Client.connect(engine.store.url, engine.store.namespace) as client:
        await client.get_handle(handle.workflow_id).signal("go", SECRET)
        async with asyncio.timeout(10):
            while (found := await handle.describe())["health"]["state"] != "stuck":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert "the key 'k1', which is not known here" in found["health"]["reason"]["message"]
    nowhere(engine)
    keys.setenv("S7_LATER", os.environ["S7_KEY"])
    await engine.retire(worker)
    await engine.worker()
    async with asyncio.timeout(20):
        assert await handle.result() == ["plain", SECRET]  # (the client has read its keys again)
    await engine.start("flow", SECRET, id="later")
    nowhere(engine)
    await engine.client.get_handle("later").terminate()


async def test_an_object_store_that_cannot_be_opened_refuses_what_is_large(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    """A running process goes on with the rest, and stores nothing large in Redis."""
    engine = await make_engine()
    await engine.deploy({"flow": FLOW})
    await engine.worker()
    await change(engine, payload_store="nowhere://bucket", offload_bytes=200)
    with pytest.raises(SealedPayload, match=r"cannot be stored.*its kind must be one of"):
        await engine.start("flow", SECRET * 100)
    handle = await engine.start("flow", "small")
    await handle.signal("go", 1)
    assert await within(handle.result()) == ["small", 1]


async def test_a_running_scheduler_takes_over_how_long_runs_are_kept_and_where(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Settling, retention and the archive of a namespace that began with the usual ones."""
    keys.setattr(retention, "LOOK_SECONDS", 0.1)
    engine = await make_engine()
    await engine.deploy({"flow": "function main(x) return x end"})
    await engine.worker()
    await engine.scheduler()
    archive = (tmp_path / "archive").as_uri()
    await change(engine, settle_after_ms=50, retentions={"completed": 300}, archive=archive)
    handle = await engine.start("flow", 7)
    assert await within(handle.result()) == 7
    async with asyncio.timeout(20):
        while "archived" not in await handle.describe():  # noqa: ASYNC110 - told on no channel
            await asyncio.sleep(0.05)
    assert await within(handle.result()) == 7


async def never(_: OrphanSweep) -> int:
    """Delete nothing."""
    return 0


@pytest.mark.heavy
@proves(replaced(orphans.OrphanSweep, "sweep", never))
async def test_what_a_killed_client_left_is_swept_by_a_scheduler_that_runs(
    make_engine: Make, keys: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """kill -9 between the object and the start; the payload store was set while it ran."""
    engine = await make_engine()
    await engine.deploy({"flow": "function main(x) return x end"})
    scheduler = await engine.scheduler()
    await scheduler.orphans.stop()
    scheduler.orphans = OrphanSweep(scheduler._store, period=0.5, grace=1.0)
    await scheduler.orphans.start()
    await change(engine, payload_store=(tmp_path / "large").as_uri(), offload_bytes=200)
    kept = await engine.start("flow", "K" * 5000)
    client = Program("client", "")
    try:
        await client.start("tests.codec.start_once", engine.store.url, engine.store.namespace)
        assert await client.ended() == -signal.SIGKILL
        assert ("w", "never") in await owned(engine)
    finally:
        await client.kill()
    async with asyncio.timeout(10):
        while ("w", "never") in await owned(engine):  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.05)
    with pytest.raises(NotFound):
        await engine.client.get_handle("never").describe()
    await engine.worker()
    assert await within(kept.result()) == "K" * 5000
