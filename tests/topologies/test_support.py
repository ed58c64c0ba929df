"""The topologies that other tests stand on do what they promise, each started in a few seconds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import redis.asyncio.cluster
from tests.support.cluster import Cluster, SlotMove
from tests.support.replication import Replication
from tests.support.sentinel import MASTER, Sentinels


async def test_a_cut_replica_misses_writes_and_clients_see_nothing(tmp_path: Path) -> None:
    """Partition first: what is written meanwhile is lost with the old primary."""
    async with Replication(tmp_path, replicas=2) as group:
        cut, other = group.replicas
        await group.primary.ask("SET", "before", "1")
        await group.wait(2)
        reader = redis.asyncio.Redis(port=cut.port)
        assert await reader.get("before") == b"1"
        await group.cut(cut)
        await group.primary.ask("SET", "after", "1")
        await group.wait(1)
        assert int(await group.primary.ask("WAIT", 2, 300)) == 1
        assert await reader.get("after") is None, "the client's connection stands"
        await reader.aclose()
        old = await group.promote(cut)
        assert await group.primary.ask("GET", "after") is None
        await group.mend(cut)
        await asyncio.gather(group.follow(old), group.follow(other))
        assert await old.ask("GET", "after") is None


async def test_a_server_dies_and_comes_back_on_its_data(tmp_path: Path) -> None:
    async with Replication(tmp_path, replicas=0) as group:
        await group.primary.ask("SET", "k", "v")
        await group.primary.restart()
        assert await group.primary.ask("GET", "k") == b"v"
        group.primary.pause()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(group.primary.ask("GET", "k"), 0.3)
        group.primary.resume()
        assert await group.primary.ask("GET", "k") == b"v"


@pytest.mark.heavy
async def test_sentinels_fail_over(tmp_path: Path) -> None:
    """1 + 2 + 3: ordered, after a kill, and with a replica cut off first."""
    async with Sentinels(tmp_path) as group:
        first = group.primary
        second = await group.failover()
        assert second is not first
        await group.heal()
        third = await group.failover("kill")
        assert third is not second
        assert not second.running
        await group.heal()
        for node in group.replicas:
            await group.cut(node)
        await third.ask("SET", "lost", "1")
        fourth = await group.failover()
        assert await fourth.ask("GET", "lost") is None
        asked = await group.others[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        assert int(asked[1]) == fourth.port
        await group.heal()


@pytest.mark.heavy
async def test_a_cluster_moves_slots_and_fails_over(tmp_path: Path) -> None:
    """3 + 3: a slot with keys moves, stops half way and ends; a primary is replaced three ways."""
    async with (
        Cluster(tmp_path) as group,
        redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=group.nodes[0].port) as client,
    ):
        for i in range(20):
            await client.set(f"{{tag}}:{i}", i)
        slot = group.slot("{tag}:0")
        source = await group.owner(slot)
        to = next(n for n in await group.primaries() if n is not source)
        move = SlotMove(group, slot, source, to)
        await move.begin()
        assert await move.keys(5) == 5
        values = [await client.get(f"{{tag}}:{i}") for i in range(20)]
        assert values == [b"%d" % i for i in range(20)], "half way, every key is found"
        await move.finish()
        assert await group.owner(slot) is to
        await group.move_slot(slot, source)
        new = await group.failover(source)
        assert await group.owner(slot) is new
        newer = await group.failover(new, "force")
        assert newer is source
        await group.healthy()
        newest = await group.failover(newer, "kill")
        assert await group.owner(slot) is newest
        await group.heal()
        assert await client.get("{tag}:7") == b"7"
