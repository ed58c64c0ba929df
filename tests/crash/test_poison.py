"""Real processes that poison kills: it is parked, others go on, an operator lets it go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.crash.conftest import NAMESPACE
from tests.support.commands import Commands
from tests.support.processes import Fleet, Gate

from luaflow import Client
from luaflow.client.handle import Handle
from luaflow.deploy import deploy
from luaflow.domain import poison
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace

pytestmark = pytest.mark.heavy

APP = Path(__file__).parent / "poison"
KILLS = poison.LIMIT


@pytest.fixture
async def fleet(server: EmbeddedServer, gate: Gate, effects: Path) -> AsyncIterator[Fleet]:
    async with Fleet(server.url, NAMESPACE, APP, effects, gate.path) as fleet:
        yield fleet


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[Client]:
    link = Link(server.url)
    await create_namespace(link, NAMESPACE, Settings(lease_ms=1000, sticky_timeout_ms=500))
    await link.close()
    async with await Client.connect(server.url, NAMESPACE) as client:
        await deploy(client.store, load_app(APP))
        yield client


async def stuck(handle: Handle, seconds: float = 60) -> dict[str, object]:
    """What describe says once the run is stuck; a test waits as an operator looks."""
    async with asyncio.timeout(seconds):
        while True:
            health = (await handle.describe())["health"]
            if health["state"] == "stuck":
                return dict(health)
            await asyncio.sleep(0.1)


def heal(effects: Path) -> None:
    """From now on the activities do no harm."""
    effects.touch()


async def command(server: EmbeddedServer, *words: str) -> None:
    """What an operator types."""
    answer = await asyncio.to_thread(Commands(server.url, NAMESPACE), *words)
    assert answer.code == 0, answer


async def others(client: Client, number: int) -> float:
    """Runs that do no harm, one after the other; the slowest (s)."""
    slowest = 0.0
    for _ in range(number):
        since = time.monotonic()
        assert await client.execute("app:calls", "echo") == "echo"
        slowest = max(slowest, time.monotonic() - since)
    return slowest


@pytest.mark.parametrize("name", ["die", "hang"])
async def test_an_activity_that_kills_its_process(
    fleet: Fleet, client: Client, server: EmbeddedServer, effects: Path, name: str
) -> None:
    """Five processes die, no sixth; others go on; healed and reset by hand, it completes."""
    words = ("--processes", "2", "--hang-timeout", "1")
    supervisor, _ = await asyncio.gather(fleet.worker(*words), fleet.scheduler())
    bad = await client.start("app:calls", name, id="bad")
    health = await stuck(bad)
    assert health["failures"] == KILLS
    assert "went silent under it" in str(health)
    await supervisor.said(f"^poison {name} ", KILLS)
    assert await others(client, 20) < 20
    assert sum(line.startswith("poison") for line in supervisor.lines) == KILLS
    heal(effects)
    await command(server, "activity", "reset", "-w", "bad", "-a", "1")
    assert await bad.result(30) == f"{name} lives"
    assert (await bad.describe())["health"] == {"state": "ok"}


async def test_a_decision_that_kills_its_process(
    fleet: Fleet, client: Client, server: EmbeddedServer, effects: Path
) -> None:
    """A local activity is part of a decision: the run is parked as lost, and let go by hand."""
    words = ("--processes", "2", "--hang-timeout", "1")
    supervisor, _ = await asyncio.gather(fleet.worker(*words), fleet.scheduler())
    bad = await client.start("app:calls", "die_here", id="bad")
    health = await stuck(bad)
    assert health["reason"]["reason"] == "lost"  # type: ignore[index]
    await others(client, 20)
    assert sum(line.startswith("poison") for line in supervisor.lines) == KILLS
    heal(effects)
    await command(server, "workflow", "retry", "-w", "bad")
    assert await bad.result(30) == "die_here lives"


async def test_a_plain_job_that_kills_its_process(
    fleet: Fleet, client: Client, server: EmbeddedServer
) -> None:
    """It is parked, too, shown by list, and failed by hand."""
    words = ("--processes", "2", "--hang-timeout", "1")
    supervisor, _ = await asyncio.gather(fleet.worker(*words), fleet.scheduler())
    options = {"activity.retry_policy": {"initial_interval": "50ms", "backoff_coefficient": 1}}
    job = await client.enqueue("app:die", "die", id="bad", queue="orders", options=options)
    async with asyncio.timeout(60):
        while (await job.describe()).get("state") != "parked":  # noqa: ASYNC110 - looks as people do
            await asyncio.sleep(0.1)
    assert [one["state"] for one in await client.list_jobs()] == ["parked"]
    assert len(await supervisor.said("^poison die ", KILLS)) == KILLS
    await command(server, "activity", "fail", "-a", "bad", "--reason", "it kills its worker")
    assert await job.status() == "failed"


async def latencies(client: Client, number: int) -> list[float]:
    """Of runs that do no harm, four at a time, each from its start to its result (s)."""
    found: list[float] = []

    async def one_after_the_other() -> None:
        while len(found) < number:
            since = time.monotonic()
            assert await client.execute("app:calls", "echo") == "echo"
            found.append(time.monotonic() - since)

    await asyncio.gather(*(one_after_the_other() for _ in range(4)))
    return sorted(found)


@pytest.mark.timeout(300)
async def test_fifty_poisoned_runs_leave_others_alone(fleet: Fleet, client: Client) -> None:
    """Fifty runs that never stop computing: 99 of 100 others hardly notice."""
    await asyncio.gather(fleet.worker(), fleet.scheduler())
    await latencies(client, 50)
    before = await latencies(client, 400)
    bad = [await client.start("app:loops") for _ in range(50)]
    await stuck(bad[0], 180)  # one of fifty, which use up their budgets one after the other
    since = time.monotonic()
    during: list[float] = []
    while time.monotonic() - since < 30:
        during += await latencies(client, 200)
    during.sort()
    told = f"p50 and p99, before: {middle_and_end(before)}, during: {middle_and_end(during)} ms"
    logging.getLogger(__name__).warning(told)
    assert middle_and_end(during)[1] < max(250, 10 * middle_and_end(before)[1]), told


def middle_and_end(found: list[float]) -> tuple[float, float]:
    """The 50th and the 99th percentile, in ms."""
    p50, p99 = (round(found[len(found) * n // 100] * 1000, 1) for n in (50, 99))
    return p50, p99
