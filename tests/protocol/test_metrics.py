"""What a worker and a scheduler really export after work that is known."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from tests.support.engine import Engine

from luaflow_scheduler.scheduler import Scheduler

CALLS = """
local funcs = require("funcs")
local function main()
    for _ = 1, 5 do funcs.call("app:work") end
    return "done"
end"""
WORK = 'local function main() return "worked" end'


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"luaflow_{name}", labels)


async def test_worker_measures_what_it_did(engine: Engine) -> None:
    """The start, the wait, the duration and the size of a workflow: the size is the server's."""
    await engine.deploy({"flow": CALLS}, activities={"work": WORK})
    worker = await engine.worker()
    await worker.watch.look()
    registry, type = worker._registry, "app:flow"
    assert sample(registry, "worker_serves", queue="q", kind="activity") == 1
    assert sample(registry, "queue_in_flight_tasks", queue="q", kind="workflow") == 0
    assert sample(registry, "redis_connected") == 1
    handle = await engine.start("flow")
    assert await handle.result(timeout=30) == "done"
    await engine.retire(worker)  # it counts after it has committed
    assert sample(registry, "workflow_started_total", workflow=type) == 1
    assert sample(registry, "workflow_seconds_count", workflow=type) == 1
    assert 0 < (sample(registry, "workflow_seconds_sum", workflow=type) or 0) < 30
    size = int((await engine.fields(handle))["size"])
    assert sample(registry, "history_bytes_sum") == size
    waited = "workflow_task_schedule_to_start_seconds"
    assert sample(registry, f"{waited}_count", queue="q") == 1
    assert 0 <= (sample(registry, f"{waited}_sum", queue="q") or 0) < 30
    assert (sample(registry, "redis_round_trip_seconds_count") or 0) >= 1
    assert sample(registry, "worker_serves", queue="q", kind="activity") is None
    assert sample(registry, "worker_draining") == 1


async def test_scheduler_tells_what_waits_and_for_how_long(engine: Engine) -> None:
    """Nobody works: tasks age, histories are as long as they are, nothing else is overdue."""
    await engine.deploy({"flow": CALLS})
    await engine.start("flow")
    registry = CollectorRegistry()
    scheduler = Scheduler(engine.store, registry)
    for p in engine.store.partitions:
        await scheduler.sweep.visit(p)
    for _ in range(2):  # whose oldest task to look at is known from the first
        await scheduler._gauges._sample()
    text = generate_latest(registry).decode()
    assert sample(registry, "queue_backlog_tasks", queue="q", kind="workflow") == 1, text
    assert (sample(registry, "queue_oldest_task_seconds", queue="q", kind="workflow") or 0) > 0
    assert sample(registry, "queue_oldest_task_seconds", queue="q", kind="activity") == 0
    assert sample(registry, "workflows", status="running") == 1
    assert sample(registry, "workflows", status="failed") == 0
    assert sample(registry, "history_longest_events") == 1
    assert (sample(registry, "history_longest_bytes") or 0) > 0
    assert sample(registry, "scheduler_overdue_seconds", set="timers") == 0
    assert (sample(registry, "redis_scripts_total") or 0) > 0
    assert (sample(registry, "redis_script_seconds_total") or 0) > 0
    await scheduler._gauges.close()
    assert "luaflow_redis_scripts" not in generate_latest(registry).decode()


async def test_an_outbox_that_stands_still_ages(engine: Engine) -> None:
    """As long as its first message is the same; an empty one is none."""
    first, second = engine.store.partitions[:2]
    registry = CollectorRegistry()
    gauges = Scheduler(engine.store, registry)._gauges
    outbox = first.outbox(second.number)
    await engine.store.read(("XADD", outbox, "1-0", "e", "1", "m", "x"))
    seen = []
    for _ in range(4):
        await gauges._sample()
        seen.append(sample(registry, "outbox_stuck_seconds") or 0)
    assert seen[0] == seen[1] == 0  # the head is known from the second reading on
    assert 0 < seen[2] < seen[3]
    assert sample(registry, "outbox_messages") == 1
    await engine.store.read(("XDEL", outbox, "1-0"), ("XADD", outbox, "2-0", "e", "1", "m", "x"))
    await gauges._sample()
    assert sample(registry, "outbox_stuck_seconds") == 0
    await engine.store.read(("DEL", outbox))
    await gauges._sample()
    assert sample(registry, "outbox_messages") == 0
    await gauges.close()


async def test_a_timer_that_nobody_fires_is_overdue(engine: Engine) -> None:
    """It has been due for so long; a date in a minute has not."""
    registry = CollectorRegistry()
    gauges = Scheduler(engine.store, registry)._gauges
    p = engine.store.partitions[3]
    ((seconds, _),) = await engine.store.read(("TIME",))
    now = int(seconds) * 1000
    await engine.store.read(("ZADD", p.timers, now - 5_000, "late", now + 60_000, "later"))
    await gauges._sample()
    late = sample(registry, "scheduler_overdue_seconds", set="timers") or 0
    assert 5 <= late < 60
    assert sample(registry, "scheduler_dates", set="timers") == 2
    await engine.store.read(("DEL", p.timers))
    await gauges.close()
