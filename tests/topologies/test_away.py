"""One primary of a cluster hangs or is dead, and nobody replaces it: the others' work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.protocol.hand import Hand
from tests.support.cluster import Cluster
from tests.support.engine import Make, within
from tests.support.mutants import patience, proves, replaced
from tests.support.nodes import Node

from luaflow.client.client import Client
from luaflow.errors import LuaflowError
from luaflow.store import keys, spread, upkeep
from luaflow.store.dialing import nodes_of, place_of
from luaflow.store.keys import Partition
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.store import Store
from luaflow_worker.presence import Leases
from luaflow_worker.taking import Entry

PARTITIONS = 6
LEASE_MS = 1200
ECHO = "local function main(n) return funcs.call('app:echo', n) end"
SAME = "local function main(n) return n end"


def cluster(folder: Path) -> Cluster:
    """Three primaries that nobody replaces; each goes on without the others."""
    options = ("--cluster-require-full-coverage", "no")
    # a node that hangs is given up only by its clients' own patience
    return Cluster(folder, *options, "--cluster-node-timeout", "60000", replicas=0)


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Cluster]:
    """The cluster of a test; all of it answers again at the end."""
    async with cluster(tmp_path / "cluster") as group:
        yield group


@pytest.fixture
async def make(group: Cluster, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes the engine of a test on that cluster."""
    make = Make(group.url, "away", tmp_path / "app")
    try:
        yield make
    finally:
        for node in group.nodes:
            if node.running:
                node.resume()
        await make.close()


@pytest.fixture
async def store(group: Cluster) -> AsyncIterator[Store]:
    """A namespace on that cluster, without any code."""
    link = make_link(group.url)
    await create_namespace(link, "away", Settings(partitions=PARTITIONS, lease_ms=LEASE_MS))
    await link.close()
    store = await Store.open(group.url, "away")
    yield store
    for node in group.nodes:
        node.resume()
    await store.close()


async def halves(
    group: Cluster, store: Store, but: int = 0
) -> tuple[Node, list[Partition], list[Partition]]:
    """A node; the partitions it has, those it has not."""
    owners = {p.number: await group.owner(group.slot(p.meta)) for p in store.partitions}
    node = next(node for node in owners.values() if node.port != but)
    here = [p for p in store.partitions if owners[p.number] is node]
    others = [p for p in store.partitions if owners[p.number] is not node]
    assert others
    return node, here, others


@proves(replaced(spread, "is_spread", lambda _: False))
async def test_leases_of_other_partitions_are_renewed(group: Cluster, store: Store) -> None:
    """In time, round after round, while the primary of one run hangs."""
    node, here, others = await halves(group, store)
    hand = Hand(store)
    both = [await hand.start(hand.id_in(p.number)) for p in (here[0], others[0])]
    tasks = [await hand.take(route) for route in both]
    held = {task.route.run_id: (task.route, task.turn) for task in tasks}
    run_id = tasks[1].route.run_id
    node.pause()
    async with Leases(store, tasks[1].worker, held, set()):
        renewed: set[bytes] = set()
        async with asyncio.timeout(LEASE_MS / 1000 * 4):
            while len(renewed) < 4:
                (members,) = await store.read(("ZRANGE", others[0].leases, 0, -1, "WITHSCORES"))
                found = dict(zip(members[::2], members[1::2], strict=True))
                renewed |= {at for name, at in found.items() if run_id.encode() in bytes(name)}
        node.resume()
    assert run_id in held


@proves(replaced(spread, "is_spread", lambda _: False))
async def test_tasks_that_were_read_together_go_on(group: Cluster, make: Make) -> None:
    """A batch with a run whose primary hangs keeps no other run waiting."""
    engine = await make(partitions=PARTITIONS, sticky_timeout_ms=500)
    await engine.deploy({"echo_of": ECHO}, activities={"echo": SAME})
    worker = await engine.worker()
    await engine.scheduler()
    assert await engine.execute("echo_of", 1) == 1
    # not the one that tells this client what has ended
    told_by = engine.store.push._connection
    assert told_by
    node, here, others = await halves(group, engine.store, place_of(told_by).port)
    await move_the_rest(group, engine.store, node)
    batch: list[Entry] = []
    both = asyncio.Event()

    def keep(entries: list[Entry]) -> None:
        batch.extend(entries)
        if len(batch) == 2:
            both.set()

    worker.workflows.__dict__["handle"] = keep
    runs = [
        await engine.start("echo_of", 7, id=engine.id_in(p.number)) for p in (here[0], others[0])
    ]
    await within(both.wait())
    del worker.workflows.__dict__["handle"]
    node.pause()
    worker.workflows.handle(batch)
    assert await runs[1].result(timeout=patience()) == 7
    # nor does the next look at all streams
    more = [engine.id_in(p.number, "next") for p in others]
    assert [await engine.execute("echo_of", n, id=i) for n, i in enumerate(more)] == [
        *range(len(more))
    ]
    node.resume()
    assert await runs[0].result(timeout=10) == 7


async def test_everybody_starts_without_it(group: Cluster, make: Make, tmp_path: Path) -> None:
    """A client, a worker and a scheduler start while a primary is dead, and work on the others.

    They know the dead one's address, too, and which partitions they miss when they count.
    """
    engine = await make(partitions=PARTITIONS, sticky_timeout_ms=500)
    await engine.deploy({"echo_of": ECHO}, activities={"echo": SAME})
    node, here, others = await halves(group, engine.store)
    await move_the_rest(group, engine.store, node)
    node.kill()
    await engine.worker()
    await engine.scheduler()
    store = await within(Store.open(group.url, "away"))
    try:
        client = Client(store)
        ids = [engine.id_in(p.number) for p in others]
        runs = [await client.start("app:echo_of", 7, id=i) for i in ids]
        assert [await run.result(timeout=10) for run in runs] == [7] * len(ids)
        with pytest.raises(LuaflowError) as caught:
            await store.run(*(upkeep.confirm(partition=p) for p in store.partitions), patience=1.0)
        assert f"{len(here)} of {PARTITIONS} answers are missing" in caught.value.message
        assert node.address in caught.value.message
    finally:
        await store.close()
    await node.start()
    await within(engine.execute("echo_of", 7, id=engine.id_in(here[0].number)))


async def move_the_rest(group: Cluster, store: Store, node: Node) -> None:
    """What is in no partition, and nobody can be without, goes to another node."""
    to = next(n for n in await group.primaries() if n is not node)
    found = [key.decode() for key in await node.ask("KEYS", "*")]
    names = {key for key in found if f"{{{store.namespace}:" not in key}
    names |= {keys.workers(store.namespace), keys.lanes(store.namespace)}
    for slot in {group.slot(name) for name in names}:
        if await group.owner(slot) is node:
            await group.move_slot(slot, to)
    await nodes_of(group.url).look()
