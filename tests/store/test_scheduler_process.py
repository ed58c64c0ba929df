"""Schedulers as they run: two at once, woken by the bell, as a process, under checks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis.asyncio
from prometheus_client import CollectorRegistry, generate_latest
from tests.support.runs import Ops, Runs, open_store

from luaflow.embedded import EmbeddedServer
from luaflow.store import keys
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_scheduler.scheduler import Scheduler


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    store = await open_store(redis_url, namespace, partitions=4, simulated=False)
    yield store
    await store.close()


async def until(store: Store, route: Route, type: str, count: int = 1) -> None:
    """Read a history, blocked on it, until it holds so many events of a type."""
    reader, last = Reader(store.url), "0"
    try:
        async with asyncio.timeout(20):
            while count > 0:
                hist = route.partition.hist(route.run_id)
                answer = await reader.read("XREAD", "BLOCK", 5_000, "STREAMS", hist, last)
                for entry, fields in answer[0][1] if answer else ():
                    last = bytes(entry).decode()
                    count -= fields[3] == type.encode()
    finally:
        await reader.close()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def test_two_schedulers_fire_each_timer_once(store: Store, redis_url: str) -> None:
    """Two schedulers at once: every timer fires once and in time."""
    runs, registries = Runs(store), [CollectorRegistry(), CollectorRegistry()]
    other = await Store.open(redis_url, store.namespace)
    schedulers = [Scheduler(s, r) for s, r in zip((store, other), registries, strict=True)]
    for scheduler in schedulers:
        await scheduler.start()
    routes = [await runs.start(f"wf{n}") for n in range(8)]
    for route in routes:
        ops = Ops()
        for n in range(1, 51):
            ops.timer(n, n * 5)
        await runs.decide(route, ops)
    await asyncio.gather(*(until(store, route, "TimerFired", 50) for route in routes))
    for scheduler in schedulers:
        await scheduler.stop()
    for route in routes:
        events = [e for e in await runs.events(route) if e.type == "TimerFired"]
        assert sorted(e.body["seq"] for e in events) == list(range(1, 51))
    assert sum(value(r, "luaflow_scheduler_timers_fired_total") for r in registries) == 400
    name = "luaflow_timer_lateness_seconds_bucket"
    assert sum(value(r, name, le="1.0") for r in registries) == 400
    await other.close()


async def test_bell_wakes_a_sleeping_scheduler(store: Store) -> None:
    """A timer set while the scheduler sleeps fires when due, long before its next look."""
    scheduler = Scheduler(store)
    await scheduler.start()
    runs = Runs(store)
    route = await runs.start("wf")
    await runs.decide(route, Ops().timer(1, 50))
    since = time.monotonic()
    await until(store, route, "TimerFired")
    assert time.monotonic() - since < 2
    await scheduler.stop()


async def test_scheduler_survives_lost_connections(store: Store, raw: redis.asyncio.Redis) -> None:
    """After all connections broke, timers set meanwhile fire, and it is ready again."""
    scheduler = Scheduler(store)
    await scheduler.start()
    assert scheduler.alive()[0]
    runs = Runs(store)
    route = await runs.start("wf")
    await runs.decide(route, Ops().timer(1, 200))
    await raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    await raw.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
    await until(store, route, "TimerFired")
    await scheduler.stop()


async def test_gauges_come_from_one_scheduler(store: Store, redis_url: str) -> None:
    """Backlog and open runs are exported by the leader only; the next takes over at its stop."""
    runs = Runs(store)
    await store.read(("HSET", keys.hosts(store.namespace), "app:worker", '{"task_queue":"q"}'))
    for n in range(3):
        await runs.start(f"wf{n}")
    done = await runs.start("done")
    await runs.decide(done, Ops().close(done.partition))
    registries = [CollectorRegistry(), CollectorRegistry()]
    schedulers = [Scheduler(store, registry) for registry in registries]
    await schedulers[0].start()
    for scheduler in schedulers:
        await scheduler._gauges._sample()
    text = [generate_latest(registry).decode() for registry in registries]
    assert 'luaflow_queue_backlog_tasks{kind="workflow",queue="q"} 3.0' in text[0]
    assert 'luaflow_queue_backlog_tasks{kind="activity",queue="q"} 0.0' in text[0]
    assert "luaflow_workflows_running 3.0" in text[0]
    assert "luaflow_outbox_messages 0.0" in text[0]
    assert "luaflow_redis_aof_last_write_ok 1.0" in text[0]
    assert "luaflow_redis_evicted_keys_total 0.0" in text[0]
    assert "luaflow_scheduler_leader 1.0" in text[0]
    assert "luaflow_scheduler_leader 0.0" in text[1]
    assert "backlog" not in text[1]
    await schedulers[0].stop()
    await schedulers[1]._gauges._sample()
    assert value(registries[1], "luaflow_workflows_running") == 3
    await schedulers[1]._gauges.close()


# -- the process ---------------------------------------------------------------------------------


@contextmanager
def process(*args: str) -> Iterator[subprocess.Popen[str]]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LUAFLOW_")}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "luaflow_scheduler.cli", *args]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.usefixtures("true_processes")
def test_process_serves_metrics_and_ends_with_sigterm(redis_url: str, namespace: str) -> None:
    """It prints where its metrics are, answers the probes, and SIGTERM ends it with 0."""
    asyncio.run(_make(redis_url, namespace))
    with process("--redis", redis_url, "--namespace", namespace, "--metrics-port", "0") as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line.startswith("metrics on http://127.0.0.1:")
        base = line.split()[-1].removesuffix("/metrics")
        assert "looks after" in running.stdout.readline()
        with urllib.request.urlopen(f"{base}/healthz") as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{base}/readyz") as answer:
            assert answer.read().startswith(b"ready\n")  # warnings may follow
        with urllib.request.urlopen(f"{base}/metrics") as answer:
            text = answer.read().decode()
        assert "luaflow_build_info{" in text
        assert 'luaflow_scheduler_due{set="timers"} 0.0' in text
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0


async def _make(url: str, namespace: str) -> None:
    await (await open_store(url, namespace, partitions=1, simulated=False)).close()


@pytest.mark.parametrize(
    ("address", "namespace", "code", "says"),
    [
        ("redis://127.0.0.1:1", "default", 3, "cannot reach Redis"),
        ("", "no-such-one", 4, "namespace create"),
    ],
)
def test_process_says_why_it_cannot_start(
    redis_url: str, address: str, namespace: str, code: int, says: str
) -> None:
    """Without server: exit code 3 after a little patience; without namespace: 4."""
    with process("--redis", address or redis_url, "--namespace", namespace) as running:
        _, told = running.communicate(timeout=20)
        assert running.returncode == code
        assert says in told.splitlines()[-1]


def test_process_refuses_a_server_that_evicts(tmp_path: Path, server_binary: Path | None) -> None:
    """A server that would throw workflows away is refused with exit code 5 and the remedy."""
    extra = ("--maxmemory-policy", "allkeys-lru")
    with (
        EmbeddedServer(tmp_path / "data", extra=extra, binary=server_binary) as server,
        process("--redis", server.url, "--metrics-port", "0") as running,
    ):
        _, told = running.communicate(timeout=20)
        assert running.returncode == 5
        assert "CONFIG SET maxmemory-policy noeviction" in told
