"""``luaflow server copy``: a namespace with open runs moves to another server, and they go on."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import Cluster
from tests.support.commands import Answer, Commands
from tests.support.engine import Engine, Make
from tests.support.open_runs import OpenRuns, engine_on
from tests.support.topology import client_of

from luaflow.embedded import EmbeddedServer
from luaflow.store import copying
from luaflow.store.links import Linked

pytestmark = pytest.mark.one_server("it starts the servers that it copies between")

CALL = """
local funcs = require("funcs")
local function main(name) return funcs.call("app:note", name) end
"""
NOTE = {"note": "tests.protocol.gates:note"}


@pytest.fixture
def other(tmp_path: Path, server_binary: Path | None) -> Any:
    """A second server."""
    with EmbeddedServer(tmp_path / "other", appendfsync="no", binary=server_binary) as server:
        yield server


async def copy(source: str, target: str, namespace: str) -> Answer:
    """The command; its own loop runs on a thread."""
    words = ("server", "copy", "--from", source, "--to", target)
    return await asyncio.to_thread(Commands(source, namespace), *words)


def left(url: str) -> list[bytes]:
    """The keys of a server."""
    with client_of(url) as client:
        return sorted(client.scan_iter("lf:*"))


async def test_open_runs_go_on_on_another_server(
    make_engine: Make, other: EmbeddedServer, tmp_path: Path
) -> None:
    """Timers, messages, queued tasks and jobs, code, closed runs: all is there, and goes on."""
    engine = await make_engine(partitions=4)
    runs = OpenRuns(engine)
    await runs.begin()
    namespace = engine.store.namespace
    before = left(engine.store.url)
    done = await copy(engine.store.url, other.url, namespace)
    assert done.code == 0, done
    assert "copied and compared: " in done.out
    mine = [name for name in before if namespace.encode() in name]
    assert [name for name in left(other.url) if b"namespaces" not in name] == mine
    assert left(engine.store.url) == before
    async with engine_on(other.url, namespace, engine.folder) as there:
        assert there.store.settings == engine.store.settings
        await runs.go_on(there)
    make_engine.excused = True  # (what is left of it will never end here)


@pytest.mark.heavy
async def test_from_one_server_to_a_cluster_and_back(
    make_engine: Make, other: EmbeddedServer, tmp_path: Path
) -> None:
    """Partitions are spread by their hash tags alone; from a cluster each primary is asked."""
    engine = await make_engine()
    runs = OpenRuns(engine)
    await runs.begin()
    namespace = engine.store.namespace
    async with Cluster(tmp_path / "cluster", replicas=0) as cluster:
        there = await copy(engine.store.url, cluster.url, namespace)
        assert there.code == 0, there
        assert all([await node.ask("DBSIZE") for node in cluster.nodes])
        back = await copy(cluster.url, other.url, namespace)
        assert back.code == 0, back
        assert back.out.splitlines()[-1] == there.out.splitlines()[-1]  # the digest
        async with engine_on(cluster.url, namespace, engine.folder) as on_cluster:
            await runs.go_on(on_cluster)
    async with engine_on(other.url, namespace, engine.folder) as on_one:
        await runs.go_on(on_one)
    make_engine.excused = True


async def test_nothing_is_copied_over_something(engine: Engine, other: EmbeddedServer) -> None:
    """A target with the namespace, or with one key of it, is left as it is."""
    namespace, url = engine.store.namespace, engine.store.url
    again = await copy(url, url, namespace)
    assert (again.code, "nothing is copied over it" in again.err) == (5, True)
    with client_of(other.url) as client:
        client.set(f"lf:{{{namespace}:3}}:meta", "x")
    found = await copy(url, other.url, namespace)
    assert found.code == 5
    assert "has 1 keys of the namespace" in found.err
    assert len(left(other.url)) == 1


async def test_a_namespace_at_work_is_not_copied(engine: Engine, other: EmbeddedServer) -> None:
    """Workers and schedulers say that they are there; an unknown namespace is 4."""
    await engine.deploy({"call": CALL}, python=NOTE)
    await engine.worker()
    found = await copy(engine.store.url, other.url, engine.store.namespace)
    assert (found.code, "1 workers of the namespace" in found.err) == (5, True)
    await engine.stop()
    await engine.scheduler()
    found = await copy(engine.store.url, other.url, engine.store.namespace)
    assert (found.code, "a scheduler of the namespace" in found.err) == (5, True)
    await engine.stop()
    assert (await copy(engine.store.url, other.url, engine.store.namespace)).code == 0
    assert (await copy(engine.store.url, other.url, "no-such")).code == 4
    assert (await copy("redis://127.0.0.1:1", other.url, "no-such")).code == 3


CHANGES: dict[str, tuple[str, ...]] = {
    "a field": ("HSET", "{p}meta", "last", "1"),
    "a score": ("ZADD", "{p}vis", "1", "x"),
    "an event": ("XADD", "{p}outbox:0", "9-0", "f", "v"),
    "the last id": ("XSETID", "{p}outbox:0", "99-0"),
    "how far a group has read": ("XGROUP", "SETID", "{p}tq:q:wf", "w", "5-0"),
    "a key less": ("DEL", "{p}tq:q:wf"),
    "a key more": ("SET", "{p}lock:x", "1"),
    "a time to live": ("PEXPIRE", "{p}meta", "60000"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_difference_is_found_and_nothing_stays(
    make_engine: Make, other: EmbeddedServer, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever differs by the end, on either side, is named; the target is empty again."""
    engine = await make_engine(partitions=1)
    p = engine.store.partitions[0]
    await engine.store.read(
        ("XGROUP", "CREATE", p.workflow_queue("q"), "w", "0", "MKSTREAM"),
        ("XADD", p.outbox(0), "1-0", "f", "v"),
        ("ZADD", p.vis, 0, "x"),
    )
    command = tuple(str(word).format(p=p.prefix) for word in CHANGES[change])
    compare = copying._compare

    async def changed(source: Linked, target: Linked, namespace: str) -> str:
        await target.batch([command])
        return await compare(source, target, namespace)

    monkeypatch.setattr(copying, "_compare", changed)
    monkeypatch.setattr(copying, "PAGE", 1)  # (the last entry of a stream is on a page of its own)
    found = await copy(engine.store.url, other.url, engine.store.namespace)
    assert found.code == 5, found
    assert "is not the same on both sides" in found.err
    assert p.prefix in found.err
    assert left(other.url) in ([], [f"{p.prefix}lock:x".encode()])  # (which nobody copied)
    make_engine.excused = True


async def test_a_target_that_is_too_old(
    make_engine: Make, tmp_path: Path, server_binary: Path | None
) -> None:
    """What a newer release writes an older one cannot read: said in words, and nothing stays."""
    old = shutil.which("redis-server")
    if old is None or server_binary is not None:
        make_engine.excused = True
        pytest.skip("needs a redis-server on PATH that is older than the embedded one")
    engine = await make_engine(partitions=1)
    with EmbeddedServer(tmp_path / "old", appendfsync="no", binary=Path(old)) as server:
        found = await copy(engine.store.url, server.url, engine.store.namespace)
        assert (found.code, "it is an older release" in found.err) == (5, True)
        assert left(server.url) == []
