"""Every alert fires when something real breaks, on a real Prometheus; most end when it is mended.

The rules are those of the file; only their windows, waits and the two thresholds that are times or
lengths are shorter. promtool tests the true ones (test_alert_rules.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import yaml
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.ops.stand import Stand
from tools.check_alerts import FILE, load

from luaflow.client.unparking import retry_task
from luaflow.embedded import EmbeddedServer
from luaflow.errors import LuaflowError

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

WINDOW = "20s"
MEGABYTE = 1 << 20


def shortened() -> str:
    """The rules with short windows: 2 s instead of minutes, a twentieth of a waiting time."""
    rules = yaml.safe_load(FILE.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = "2s" if "for" in rule else "0s"
        query = re.sub(r"\[\d+m\]", f"[{WINDOW}]", rule["expr"])
        query = re.sub(
            r"(_seconds(?:\{[^}]*\})?\)) > (\d+)", lambda m: f"{m[1]} > {int(m[2]) / 20}", query
        )
        rule["expr"] = query.replace("> 50000", "> 500")
    return yaml.safe_dump(rules)


Start = Callable[..., AbstractAsyncContextManager[Stand]]


@pytest.fixture
def start(tmp_path: Path, server_binary: Path | None) -> Start:
    """Makes a stand whose Prometheus has the shortened rules, with a scheduler and a worker."""
    rules = tmp_path / "rules.yml"
    rules.write_text(shortened())

    @contextlib.asynccontextmanager
    async def make(worker_options: str = "", *, worker: bool = True) -> Any:
        data = tmp_path / "redis"
        server = EmbeddedServer(data, appendfsync="everysec", binary=server_binary)
        stand = Stand(tmp_path, server, rules)
        if worker_options:
            index = stand.app / "_index.yaml"
            given = f"task_queue: orders\n    worker_options: {worker_options}"
            index.write_text(index.read_text().replace("task_queue: orders", given))
        async with stand:
            await stand.scheduler()
            if worker:
                await stand.worker()
            yield stand

    return make


@contextlib.asynccontextmanager
async def admin(stand: Stand) -> Any:
    """A connection that is allowed everything, and tries nothing twice."""
    client = redis.asyncio.Redis.from_url(stand.server.url, retry=Retry(NoBackoff(), 0))
    try:
        yield client
    finally:
        await client.aclose()


async def redis_unreachable(start: Start) -> None:
    """The server dies; it comes back."""
    async with start() as stand:
        os.kill(stand.server.pid, signal.SIGKILL)
        await stand.until_alert("LuaflowRedisUnreachable")
        stand.server.restart()
        await stand.until_alert("LuaflowRedisUnreachable", fires=False)


async def scheduler_missing(start: Start) -> None:
    """The only scheduler ends; another one takes its place."""
    async with start() as stand:
        await stand.until_alert("LuaflowSchedulerMissing", fires=False)
        await stand.programs["scheduler"].stop()
        await stand.until_alert("LuaflowSchedulerMissing")
        await stand.scheduler()
        await stand.until_alert("LuaflowSchedulerMissing", fires=False)


async def queue_starved(start: Start) -> None:
    """The only worker is killed, and work comes; another one takes its place."""
    async with start() as stand:
        await stand.programs["worker"].kill()
        handle = await stand.client.start("app:child")
        await stand.until_alert("LuaflowQueueStarved")
        await stand.worker()
        await handle.result(timeout=30)
        await stand.until_alert("LuaflowQueueStarved", fires=False)


async def queue_slow(start: Start) -> None:
    """The same: tasks wait."""
    async with start(worker=False) as stand:
        await stand.client.start("app:child")
        await stand.until_alert("LuaflowQueueSlow")
        await stand.worker()
        await stand.until_alert("LuaflowQueueSlow", fires=False)


async def queue_stalled(start: Start) -> None:
    """A local activity that hangs holds the only slot."""
    async with start("{max_concurrent_workflow_task_execution_size: 1}") as stand:
        await stand.client.start("app:calls", "app:hangs", 1)
        await stand.until('luaflow_queue_in_flight_tasks{kind="workflow"} == 1')
        await stand.client.start("app:child")
        await stand.until_alert("LuaflowQueueStalled")
        assert "LuaflowQueueStarved" not in await stand.alerts()


async def outbox_stuck(start: Start) -> None:
    """Somebody wrote over the keys that say what a partition was told; they are mended."""
    async with start() as stand, admin(stand) as client:
        partitions = stand.client.store.partitions
        marks = [p.mark(n) for p, n in product(partitions, range(len(partitions)))]
        await client.mset(dict.fromkeys(marks, "damaged"))
        handle = await stand.client.start("app:busy")
        await stand.until_alert("LuaflowOutboxStuck")
        await client.delete(*marks)
        assert await handle.result(timeout=60) == "done"
        await stand.until_alert("LuaflowOutboxStuck", fires=False)


async def redis_evicting(start: Start) -> None:
    """The server may evict, and is full."""
    async with start() as stand, admin(stand) as client:
        await stand.until_alert("LuaflowSchedulerMissing", fires=False)
        await stand.scrapes.next()
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory-policy", "volatile-ttl")
        await client.config_set("maxmemory", used + 4 * MEGABYTE)
        for n in range(64):
            await client.set(f"other:{n}", b"x" * (MEGABYTE // 4), ex=60)
        await stand.until_alert("LuaflowRedisEvicting")


async def redis_writes_fail(start: Start) -> None:
    """Its log may not grow; then it may again."""
    async with start() as stand, admin(stand) as client:
        await stand.until_alert("LuaflowSchedulerMissing", fires=False)
        _, hard = resource.prlimit(stand.server.pid, resource.RLIMIT_FSIZE)
        files = (stand.server.data_dir / "appendonlydir").glob("*.aof")
        largest = max(file.stat().st_size for file in files)
        resource.prlimit(stand.server.pid, resource.RLIMIT_FSIZE, (largest + 4096, hard))
        await client.set("other", b"x" * 65_536)
        await stand.until_alert("LuaflowRedisWritesFail")
        resource.prlimit(stand.server.pid, resource.RLIMIT_FSIZE, (-1, hard))
        await stand.until_alert("LuaflowRedisWritesFail", fires=False)


async def server_unfit(start: Start) -> None:
    """Somebody lets the server evict; a new connection has it looked at."""
    async with start() as stand, admin(stand) as client:
        for policy, fires in (("allkeys-lru", True), ("noeviction", False)):
            await client.config_set("maxmemory-policy", policy)
            await client.client_kill_filter(_type="normal", skipme=True)
            await stand.until_alert("LuaflowServerUnfit", fires=fires)


async def memory(start: Start, name: str, share: float) -> None:
    """The server may use little more than it does; the limit is lifted again."""
    async with start() as stand, admin(stand) as client:
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", int(used / share))
        await stand.until_alert(name)
        await client.config_set("maxmemory", 0)
        await stand.until_alert(name, fires=False)


async def non_determinism(start: Start) -> None:
    """A workflow that moves to new code finds code that does not fit, then the old one again."""
    async with start() as stand:
        handle = await stand.client.start("app:calls", "app:good", 1)
        await until_event(handle, "TimerStarted")
        file = stand.app / "calls.lua"
        old = file.read_text()
        file.write_text(old.replace("    for _ =", '    time.sleep("1h")\n    for _ ='))
        await stand.deploy()
        await handle.signal("go")
        await stand.until_alert("LuaflowNonDeterminism")
        file.write_text(old)
        await stand.deploy()
        await retry_task(stand.client.store, handle.workflow_id)
        await stand.until_alert("LuaflowNonDeterminism", fires=False)


async def workflows_stuck(start: Start) -> None:
    """A workflow loops for ever; it is terminated."""
    async with start() as stand:
        handle = await stand.client.start("app:loops")
        await stand.until_alert("LuaflowWorkflowsStuck")
        await handle.terminate()
        await stand.until_alert("LuaflowWorkflowsStuck", fires=False)


async def workflows_fail(start: Start) -> None:
    """A type whose workflows all fail."""
    async with start() as stand:
        await failing(stand, 1)
        await stand.scrapes.next()
        await failing(stand, 15)
        await stand.until_alert("LuaflowWorkflowsFail")
        await stand.until_alert("LuaflowWorkflowsFail", fires=False)


async def failing(stand: Stand, number: int) -> None:
    """Run so many workflows that fail."""
    for handle in [await stand.client.start("app:fails") for _ in range(number)]:
        with pytest.raises(LuaflowError, match="no"):
            await handle.result(timeout=30)


async def activities_fail(start: Start) -> None:
    """What activities call is down: they are tried again and again."""
    async with start() as stand:
        for _ in range(12):
            await stand.client.start("app:calls", "app:bad", 1)
        await stand.until_alert("LuaflowActivitiesFail")


async def timers_late(start: Start) -> None:
    """The only scheduler is paused for longer than timers may be late."""

    async def pause(stand: Stand) -> None:
        stand.programs["scheduler"].send(signal.SIGSTOP)
        handles = [await stand.client.start("app:sleeps", "10ms") for _ in range(3)]
        end = time.monotonic() + 7
        while time.monotonic() < end:
            await stand.scrapes.next()
        stand.programs["scheduler"].send(signal.SIGCONT)
        for handle in handles:
            await handle.result(timeout=30)

    async with start() as stand:
        await pause(stand)
        try:
            await stand.until_alert("LuaflowTimersLate", within=30)
        except AssertionError:  # on a busy machine the starts alone take seconds of the pause
            await pause(stand)
            await stand.until_alert("LuaflowTimersLate")
        await stand.until_alert("LuaflowTimersLate", fires=False)


async def history_too_long(start: Start) -> None:
    """A workflow calls an activity again and again; it is terminated."""
    async with start() as stand:
        handle = await stand.client.start("app:calls", "app:good", 200)
        await until_event(handle, "TimerStarted")
        await stand.until_alert("LuaflowHistoryTooLong")
        await handle.terminate()
        await stand.until_alert("LuaflowHistoryTooLong", fires=False)


async def workers_die(start: Start) -> None:
    """Three workers are killed; a minute later they are known to be gone."""
    async with start(worker=False) as stand:
        programs = [await stand.worker(name=name) for name in ("worker", "spare", "third")]
        for program in programs:
            await program.kill()
        await stand.until_alert("LuaflowWorkersDie", within=180)


async def until_event(handle: Any, type: str) -> None:
    """Wait until the history of a workflow has an event."""
    async for event in handle.history(follow=True):
        if event.type == type:
            return


BREAKS: dict[str, Callable[[Start], Awaitable[None]]] = {
    "LuaflowRedisUnreachable": redis_unreachable,
    "LuaflowSchedulerMissing": scheduler_missing,
    "LuaflowQueueStarved": queue_starved,
    "LuaflowQueueStalled": queue_stalled,
    "LuaflowOutboxStuck": outbox_stuck,
    "LuaflowRedisEvicting": redis_evicting,
    "LuaflowRedisWritesFail": redis_writes_fail,
    "LuaflowServerUnfit": server_unfit,
    "LuaflowStartsRefused": lambda start: memory(start, "LuaflowStartsRefused", 0.95),
    "LuaflowMemoryHigh": lambda start: memory(start, "LuaflowMemoryHigh", 0.75),
    "LuaflowNonDeterminism": non_determinism,
    "LuaflowWorkflowsStuck": workflows_stuck,
    "LuaflowWorkflowsFail": workflows_fail,
    "LuaflowActivitiesFail": activities_fail,
    "LuaflowQueueSlow": queue_slow,
    "LuaflowTimersLate": timers_late,
    "LuaflowHistoryTooLong": history_too_long,
    "LuaflowWorkersDie": workers_die,
}


@pytest.mark.parametrize("alert", [rule["alert"] for rule in load()])
async def test_alert_fires_when_it_is_broken(alert: str, start: Start) -> None:
    """Each has a fault that makes it fire."""
    await BREAKS[alert](start)
