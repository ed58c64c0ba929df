"""A script that meets a slot on the move happens whole or not at all (design 3, 2).

While a slot moves, its old node takes a key that a script has just emptied for one that has left,
and breaks the script off at the next access: what it wrote stays. So no script begins there.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import ResponseError
from tests.support.cluster import Cluster, SlotMove
from tests.support.mutants import mutant, patience, proves

from luaflow.store import upkeep
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.store import Store

HAZARD = """#!lua
redis.call('XADD', KEYS[2], '*', 'written', 1)
redis.call('ZREM', KEYS[1], 'last')
redis.call('ZADD', KEYS[1], 1, 'next')
"""


@proves(mutant("includes/partition", "string.byte(server) == 126", "false"))
async def test_no_script_begins_while_its_slot_moves(tmp_path: Path) -> None:
    """All its keys are there, and yet it waits until the slot has moved; then it happens once."""
    async with Cluster(tmp_path, replicas=0) as group:
        link = make_link(group.url)
        await create_namespace(link, "ns", Settings(partitions=1, simulated=True))
        await link.close()
        store = await Store.open(group.url, "ns")
        try:
            await _meet(group, store)
        finally:
            await store.close()


async def _meet(group: Cluster, store: Store) -> None:
    p = store.partitions[0]
    slot = group.slot(p.meta)
    source = await group.owner(slot)
    to = next(node for node in await group.primaries() if node is not source)
    move = SlotMove(group, slot, source, to)
    await move.begin()
    (before,) = await store.read(("HGET", p.meta, "vtime"))
    call = upkeep.shift_clock(partition=p, to=int(before) + 5, simulated=True)
    shifts = asyncio.create_task(store.one(call))
    done, _ = await asyncio.wait([shifts], timeout=0.5)
    assert not done
    assert await store.read(("HGET", p.meta, "vtime")) == [before]
    await move.finish()
    async with asyncio.timeout(patience()):
        await shifts
    assert await store.read(("HGET", p.meta, "vtime")) == [b"%d" % (int(before) + 5)]


async def test_the_hazard_is_there(tmp_path: Path) -> None:
    """What the rule is for: the server itself breaks a script off, and keeps what it wrote."""
    async with Cluster(tmp_path, replicas=0) as group:
        source = await group.owner(group.slot("{t}"))
        to = next(node for node in await group.primaries() if node is not source)
        await source.ask("ZADD", "{t}a", 1, "last")
        await source.ask("XADD", "{t}b", "*", "written", 0)
        await SlotMove(group, group.slot("{t}"), source, to).begin()
        with pytest.raises(ResponseError, match="non local key"):
            await source.ask("EVAL", HAZARD, 2, "{t}a", "{t}b")
        assert await source.ask("XLEN", "{t}b") == 2
