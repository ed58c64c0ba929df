"""The sweep under attack: runs that wait for more than a page holds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.runs import Clockwork, Ops, Runs, open_store

from luaflow.store.store import Store
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.sweep import Sweep

TIMERS = 6000


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    store = await open_store(redis_url, namespace, partitions=1)
    yield store
    await store.close()


async def test_lost_activities_of_a_run_that_waits_for_much_come_back(store: Store) -> None:
    """Whatever else a run waits for: every lost activity is found, and queued where it belongs."""
    runs, sweep = Runs(store), Sweep(store, Queues(store), Clockwork(store).metrics)
    route = await runs.start("wf")
    p, ops = route.partition, Ops()
    for seq in range(3, TIMERS):
        ops.timer(seq, 3_600_000)
    ops.activity(p, 1).activity(p, 2, queue="more", options={"queue": "more"})
    await runs.decide(route, ops)
    both = p.activity_queue("q"), p.activity_queue("more")
    await store.read(*(("DEL", stream) for stream in both))
    found = sum([await sweep.visit(p) for _ in range(TIMERS // 1000 + 2)])
    assert found == 2
    assert await store.read(*(("XLEN", stream) for stream in both)) == [1, 1]
