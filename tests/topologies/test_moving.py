"""Orders go on while masters and slots move: on Sentinel and on Redis Cluster (design 4).

Each run ends with what it should say, each history is right, and nothing is left over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import redis.asyncio
from tests.support.cluster import Cluster, SlotMove
from tests.support.engine import Make
from tests.support.nodes import Node, eventually
from tests.support.sentinel import Sentinels
from tests.topologies.orders import Orders

REPLICATED = {"durability": "replicated", "replicas": 1}
"""Where there is one replica. Of two, one may confirm what the other, promoted, never had."""
TWICE = {"durability": "replicated", "replicas": 2}


@asynccontextmanager
async def orders_on(url: str, folder: Path, **settings: object) -> AsyncIterator[Orders]:
    """Everything that runs orders at an address; at its end all of it is checked."""
    make = Make(url, "orders", folder / "app")
    try:
        orders = Orders(await make(**settings))
        await orders.open()
        yield orders
        await orders.close()
        await make.check()
    finally:
        await make.close()


@pytest.mark.heavy
async def test_an_ordered_failover_of_the_sentinels(tmp_path: Path) -> None:
    """SENTINEL FAILOVER: who was connected finds the new master, and nothing is lost."""
    async with (
        Sentinels(tmp_path, replicas=1) as group,
        orders_on(group.url, tmp_path, **REPLICATED) as orders,
        orders.flowing(2),
    ):
        await orders.more(4)
        await group.failover()
        await orders.more(4)


async def test_slots_and_primaries_of_a_cluster_move(tmp_path: Path) -> None:
    """CLUSTER FAILOVER, and a partition's slot that goes with all its keys, and comes back."""
    async with (
        Cluster(tmp_path) as group,
        orders_on(group.url, tmp_path, **REPLICATED) as orders,
        orders.flowing(2),
    ):
        await orders.more(4)
        slot = group.slot(orders.engine.store.partitions[3].meta)
        source = await group.owner(slot)
        other = next(node for node in await group.primaries() if node is not source)
        await group.move_slot(slot, other)
        await orders.more(4)
        await group.failover(other)
        await orders.more(4)
        await group.move_slot(slot, source)
        await orders.more(4)


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["ordered", "kill", "pause"])
async def test_masters_come_and_go(tmp_path: Path, how: str) -> None:
    """Three times over: the master is told to go, is killed, or hangs and comes back."""
    async with (
        Sentinels(tmp_path) as group,
        orders_on(group.url, tmp_path, **TWICE) as orders,
        orders.flowing(),
    ):
        for _ in range(3):
            await orders.more(10)
            old = group.primary
            if how == "pause":
                old.pause()
                await eventually(partial(another, group, old), "another primary", 40)
                old.resume()
            else:
                await group.failover(how)
            await group.heal()
            await orders.more(10)
        assert orders.answered


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["ordered", "kill", "pause"])
async def test_primaries_come_and_go(tmp_path: Path, how: str) -> None:
    """Each primary of a cluster is told to go, is killed, or hangs and comes back."""
    async with (
        Cluster(tmp_path) as group,
        orders_on(group.url, tmp_path, **REPLICATED) as orders,
        orders.flowing(),
    ):
        for old in await group.primaries():
            await orders.more(10)
            replica = await group.replica_of(old)
            if how == "pause":
                old.pause()
                await eventually(partial(promoted, replica), f"port {replica.port} takes over", 30)
                old.resume()
            else:
                await group.failover(old, how)
            await group.heal()
            await orders.more(10)
        assert orders.answered


@pytest.mark.heavy
@pytest.mark.timeout(300)
async def test_slots_move_both_ways_slowly(tmp_path: Path) -> None:
    """A slot whose keys are in two places, for a while; some moves are given up half-way."""
    async with (
        Cluster(tmp_path) as group,
        orders_on(group.url, tmp_path) as orders,
        orders.flowing(),
    ):
        for p in orders.engine.store.partitions[::2]:
            slot = group.slot(p.meta)
            source = await group.owner(slot)
            to = next(node for node in await group.primaries() if node is not source)
            move = SlotMove(group, slot, source, to)
            await move.begin()
            await asyncio.sleep(0.3)  # so long the partition stands still, and the others do not
            await move.keys(5)
            await asyncio.sleep(0.3)
            await move.finish()
            await orders.more(2)
            await group.move_slot(slot, source)
        assert orders.answered


@pytest.mark.heavy
@pytest.mark.timeout(300)
async def test_a_node_leaves_the_cluster(tmp_path: Path) -> None:
    """All slots of a primary go to another one, and both it and its replica are forgotten."""
    async with (
        Cluster(tmp_path) as group,
        orders_on(group.url, tmp_path, **REPLICATED) as orders,
        orders.flowing(),
    ):
        gone, to, _ = await group.primaries()
        replica = await group.replica_of(gone)
        await orders.more(10)
        while keys := await gone.ask("KEYS", "*"):
            for slot in {group.slot(key.decode()) for key in keys}:
                await group.move_slot(slot, to)
        staying = [node for node in group.nodes if node not in {gone, replica}]
        await hand_over(group, gone, to)
        for node in (gone, replica):
            for stays in staying:
                await stays.ask("CLUSTER", "FORGET", group.ids[node])
        for node in (gone, replica):
            node.kill()
        await orders.more(20)


async def promoted(node: Node) -> bool:
    """Whether a node calls itself a primary."""
    return bool((await node.info("replication"))["role"] == "master")


async def another(group: Sentinels, old: Node) -> bool:
    """Whether the Sentinels agree on another primary."""
    return await group.told_primary() is not old


async def hand_over(group: Cluster, gone: Node, to: Node) -> None:
    """Give all other slots of a node to another one, which its keys have left."""
    ranges = [
        (low, high)
        for low, high, (_, port, *_), *_ in await gone.ask("CLUSTER", "SLOTS")
        if port == gone.port
    ]
    for node in (to, gone, *(await group.primaries())):
        async with redis.asyncio.Redis(port=node.port) as client:
            pipe = client.pipeline(transaction=False)
            for low, high in ranges:
                for slot in range(low, high + 1):
                    pipe.execute_command("CLUSTER", "SETSLOT", slot, "NODE", group.ids[to])
            await pipe.execute()
