"""The rules of following several servers, each with a way to break it that is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.cluster import Cluster
from tests.support.mutants import patience, proves, replaced
from tests.support.nodes import eventually
from tests.support.sentinel import MASTER, Sentinels

from luaflow.errors import Unknown
from luaflow.store import cluster, finding, upkeep
from luaflow.store.cluster import NodeLink
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow.store.tasks import make_groups, read_tasks
from luaflow.store.waiting import Waits, _Watcher

REPLICATED = Settings(partitions=6, durability="replicated", replicas=1)


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster of two shards."""
    async with Cluster(tmp_path / "cluster", primaries=2) as group:
        yield group


@pytest.fixture
async def store(group: Cluster) -> AsyncIterator[Store]:
    """A namespace on it whose writes are replicated."""
    link = make_link(group.url)
    await create_namespace(link, "rules", REPLICATED)
    await link.close()
    store = await Store.open(group.url, "rules")
    yield store
    await store.close()


@proves(replaced(finding._View, "epoch", 0))
async def test_the_latest_change_is_believed(tmp_path: Path) -> None:
    """Of two Sentinels that name different masters, the one that saw a fail-over; in any order."""
    old = Sentinels(tmp_path / "old", replicas=0, sentinels=1)
    async with old, Sentinels(tmp_path / "new", replicas=1, sentinels=1) as new:
        await new.failover()
        both = [old.others[0].address, new.others[0].address]
        for places in (both, both[::-1]):
            link = make_link(f"redis+sentinel://{','.join(places)}/{MASTER}")
            try:
                (info,) = await link.batch([("INFO", "server")])
            finally:
                await link.close()
            assert f"tcp_port:{new.primary.port}\r\n" in bytes(info).decode()


@proves(replaced(cluster, "_leaders", lambda commands: list(range(len(commands)))))
async def test_what_has_no_key_goes_where_the_key_before_it_went(
    group: Cluster, store: Store
) -> None:
    """WAIT and TIME speak of the server that was written to."""
    commands = []
    for p in store.partitions * 4:
        commands += [("HGET", p.meta, "epoch"), ("INFO", "server")]
    answers = await store.read(*commands)
    for p, info in zip(store.partitions * 4, answers[1::2], strict=True):
        owner = await group.owner(group.slot(p.meta))
        assert f"tcp_port:{owner.port}\r\n" in bytes(info).decode()


@proves(replaced(NodeLink, "_confirming", lambda _: ()))
async def test_each_node_confirms_by_itself(group: Cluster, store: Store) -> None:
    """Where a replica is cut off nothing is confirmed; what the other node did stands."""
    first = await group.owner(group.slot(store.partitions[0].meta))
    there = [p for p in store.partitions if await group.owner(group.slot(p.meta)) is first]
    await group.cut(await group.replica_of(first))
    calls = [upkeep.confirm(partition=p) for p in store.partitions]
    with pytest.raises(Unknown) as caught:
        await store.run(*calls, patience=0.5)
    assert f"{len(there)} of {len(calls)} answers are missing" in caught.value.message


@proves(replaced(Waits, "looked", lambda *_: None), replaced(_Watcher, "fired", lambda _: False))
async def test_only_streams_with_news_are_looked_at(store: Store) -> None:
    """What was found empty is left alone until its wait says that something came."""
    reader = Reader(store.url)
    streams = [p.workflow_queue("q") for p in store.partitions]
    await make_groups(store, streams)

    async def watched() -> bool:
        return reader.waits._watched.issuperset(streams)

    async def cold() -> bool:
        return reader.waits._cold.issuperset(streams)

    async def found(stream: str, when: Callable[[], Awaitable[bool]]) -> list[str]:
        """The streams of what a look finds that waits when something comes into one of them."""
        look = asyncio.create_task(read_tasks(store, reader, "w", streams, 5))
        try:
            await eventually(when, "it waits", patience() / 2)
            await store.read(("XADD", stream, "*", "r", "1"))
            return [name for name, _, _ in await look]
        finally:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    try:
        async with asyncio.timeout(patience()):
            assert await found(streams[0], watched) == [streams[0]]
            for stream in streams[1:4]:
                assert await found(stream, cold) == [stream]
    finally:
        await reader.close()
