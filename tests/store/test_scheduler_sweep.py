"""Lost tasks come back, gone workers leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.runs import Clockwork, Ops, Runs, open_store

from luaflow.store import attempts, keys, transitions
from luaflow.store.store import Store
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.sweep import Sweep


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    store = await open_store(redis_url, namespace, partitions=1)
    yield store
    await store.close()


@pytest.fixture
def runs(store: Store) -> Runs:
    return Runs(store)


@pytest.fixture
def sweep(store: Store) -> Sweep:
    return Sweep(store, Queues(store), Clockwork(store).metrics)


async def visit(store: Store, sweep: Sweep) -> int:
    return await sweep.visit(store.partitions[0])


async def test_healthy_queue_is_left_alone(store: Store, runs: Runs, sweep: Sweep) -> None:
    """Tasks that lie in their queue unread are not touched."""
    route, other = await runs.start("wf"), await runs.start("other")
    await runs.decide(route, Ops().activity(route.partition, 1))
    before = await runs.state(other)
    assert await visit(store, sweep) == 0
    assert await visit(store, sweep) == 0
    assert await runs.state(other) == before


async def test_entries_that_vanished_are_rebuilt(store: Store, runs: Runs, sweep: Sweep) -> None:
    """A queue that lost its entries gets them again, from the state of the runs; once."""
    first, second = await runs.start("wf"), await runs.start("other")
    p = first.partition
    await runs.decide(
        first, Ops().activity(p, 1).activity(p, 2, queue="more", options={"queue": "more"})
    )
    await store.read(
        *(("XTRIM", s, "MAXLEN", 0) for s in (p.workflow_queue("q"), p.activity_queue("q")))
    )
    await store.read(("DEL", p.activity_queue("more")))
    assert await visit(store, sweep) == 3
    assert await visit(store, sweep) == 0
    await runs.take(second)
    await runs.take_activity(first, 1)
    (length,) = await store.read(("XLEN", p.activity_queue("more")))
    assert length == 1


async def test_task_read_by_a_dead_worker_comes_back(
    store: Store, runs: Runs, sweep: Sweep
) -> None:
    """What a worker read and never took is queued again; its name leaves the groups.

    No time passes here, neither real nor simulated: two looks in a row find it.
    """
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().activity(p, 1).timer(2, 1))
    await Clockwork(store).after(1)
    assert await runs.read(p.workflow_queue("q"), "dead")
    assert await runs.read(p.activity_queue("q"), "dead")
    await visit(store, sweep)  # learns the queue from the open run
    assert await visit(store, sweep) == 0
    assert await visit(store, sweep) == 2
    assert await runs.read(p.workflow_queue("q"), "w2")
    await runs.take_activity(route, 1, worker="w2")
    for stream in (p.workflow_queue("q"), p.activity_queue("q")):
        (groups,) = await store.read(("XINFO", "CONSUMERS", stream, keys.GROUP))
        assert [bytes(c[1]) for c in groups] == [b"w2"]


async def test_slow_reader_is_no_second_one(store: Store, runs: Runs, sweep: Sweep) -> None:
    """A task requeued while its reader was only slow: the run's state decides who has it."""
    route = await runs.start("wf")
    p, turn = route.partition, int((await runs.state(route))["turn"])
    entry = await runs.read(p.workflow_queue("q"), "slow")
    for _ in range(3):
        await visit(store, sweep)
    late = transitions.take_workflow(
        partition=p,
        run_id=route.run_id,
        stream=p.workflow_queue("q"),
        turn=turn,
        worker="slow",
        entry=entry or "",
    )
    assert (await store.one(late))[0] == b"gone"
    await runs.take(route, "fast")
    assert (await store.one(late))[0] == b"gone"


async def test_task_that_was_taken_is_not_requeued(store: Store, runs: Runs, sweep: Sweep) -> None:
    """Looks that meet a queue at work find other entries each time, and touch none."""
    for n in range(4):
        route = await runs.start(f"wf{n}")
        entry = await runs.read(route.partition.workflow_queue("q"), "w1")
        assert await visit(store, sweep) == 0
        call = transitions.take_workflow(
            partition=route.partition,
            run_id=route.run_id,
            stream=route.partition.workflow_queue("q"),
            turn=1,
            worker="w1",
            entry=entry or "",
        )
        assert (await store.one(call))[0] == b"ok"


async def test_entry_of_a_closed_run_leaves_the_group(
    store: Store, runs: Runs, sweep: Sweep
) -> None:
    """An entry read by a dead worker whose run has ended is only removed."""
    route, other = await runs.start("wf"), await runs.start("other")
    p = route.partition
    await runs.decide(route, Ops().activity(p, 1).timer(2, 9))
    entry = await runs.read(p.activity_queue("q"), "dead")
    await store.read(("XDEL", p.activity_queue("q"), entry or ""))
    assert await runs.read(p.workflow_queue("q"), "dead")
    await store.read(("HSET", p.run(other.run_id), "status", "completed"))
    for _ in range(3):
        await visit(store, sweep)
    pending = await store.read(
        *(("XPENDING", s, keys.GROUP) for s in (p.workflow_queue("q"), p.activity_queue("q")))
    )
    assert [found[0] for found in pending] == [0, 0]
    await store.read(("HSET", p.run(other.run_id), "status", "running"))


async def test_worker_that_is_gone_is_forgotten(store: Store, runs: Runs, sweep: Sweep) -> None:
    """Without its record a worker loses its sticky stream; with it, it keeps everything."""
    route = await runs.start("wf")
    p, namespace = route.partition, store.namespace
    for worker in ("w1", "w2"):
        await runs.read(p.sticky(worker), worker)
    await store.read(
        ("HSET", keys.worker(namespace, "w2"), "record", "{}"),
        ("ZADD", keys.workers(namespace), 1, "w1", 1, "w2"),
    )
    await visit(store, sweep)
    there = await store.read(("EXISTS", p.sticky("w1")), ("EXISTS", p.sticky("w2")))
    assert there == [0, 1]
    assert await runs.members(keys.workers(namespace)) == ["w2"]
    await store.read(("DEL", keys.worker(namespace, "w2")))
    await visit(store, sweep)
    left = await store.read(("EXISTS", p.sticky("w2")), ("EXISTS", keys.workers(namespace)))
    assert left == [0, 0]


async def test_tasks_of_a_gone_worker_are_for_all(store: Store, runs: Runs, sweep: Sweep) -> None:
    """What waits for it alone is queued with its burial, and not when a deadline ends."""
    route = await runs.start("wf")
    p = route.partition
    await runs.read(p.sticky("w1"))
    await store.read(("ZADD", keys.workers(store.namespace), 1, "w1"))
    await runs.commit(route, await runs.take(route), Ops().timer(1, 10), sticky="w1")
    await Clockwork(store).after(10)
    assert (await runs.state(route))["task"] == "sticky"
    await visit(store, sweep)
    assert (await runs.state(route))["task"] == "queued"
    assert await runs.read(p.workflow_queue("q"), "w2")
    assert await runs.members(keys.workers(store.namespace)) == []


async def test_entry_of_an_older_turn_is_only_removed(store: Store, runs: Runs) -> None:
    """What is found of a task that was handed over since does not disturb the present one."""
    route = await runs.start("wf")
    before = await runs.state(route)
    turn = int(before["turn"])
    call = transitions.requeue_task(route=route, turn=turn - 1, entry="5-5")
    assert (await store.one(call))[0] == b"gone"
    assert await runs.state(route) == before
    assert (await store.one(transitions.requeue_task(route=route, turn=turn)))[0] == b"ok"
    (length,) = await store.read(("XLEN", route.partition.workflow_queue("q")))
    assert length == 1


async def test_requeue_is_no_second_task(store: Store, runs: Runs, sweep: Sweep) -> None:
    """A task requeued while its reader was only slow goes to one of the two."""
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().activity(p, 1))
    entry = await runs.read(p.activity_queue("q"), "slow")
    call = attempts.queue_activity(
        partition=p,
        run_id=route.run_id,
        queue="q",
        seq="1",
        attempt=1,
        state="q",
        entry=entry or "",
    )
    assert (await store.one(call))[0] == b"ok"
    await runs.take_activity(route, 1, "fast")
    late = attempts.take_activity(
        partition=p,
        run_id=route.run_id,
        queue="q",
        seq="1",
        attempt=1,
        worker="slow",
        token="slow",
        entry=entry or "",
    )
    assert (await store.one(late))[0] == b"gone"
    assert (await store.one(call))[0] == b"gone"
    (length,) = await store.read(("XLEN", p.activity_queue("q")))
    assert length == 0
