"""Timers while schedulers come and go."""

from __future__ import annotations

import asyncio
import random

from tests.crash.conftest import World
from tests.support.histories import problems_of, read_histories
from tests.support.processes import Fleet

from luaflow import Client

RUNS = 100
NAPS = 3


async def test_one_of_two_schedulers_is_killed(fleet: Fleet, world: World) -> None:
    """With two schedulers, and with the one that is left, every timer fires once, in time."""
    client = await world()
    _, first, _ = await asyncio.gather(fleet.worker(), fleet.scheduler(), fleet.scheduler())
    chance = random.Random(6)
    handles = [
        await client.start("app:sleeper", [chance.randint(50, 2000) for _ in range(NAPS)])
        for _ in range(RUNS)
    ]
    results = asyncio.as_completed([h.result(60) for h in handles])
    for number, result in enumerate(results):
        assert await result == NAPS
        if number == RUNS // 4:
            await first.kill()
    late = await lateness(client)
    assert len(late) == RUNS * NAPS
    assert late[-1] <= 1000, f"the latest timer was {late[-1]} ms late"
    assert late[len(late) // 2] <= 200, f"half of them were later than {late[len(late) // 2]} ms"


async def test_timers_wait_for_a_scheduler(fleet: Fleet, world: World) -> None:
    """What is due while no scheduler runs fires once when one comes."""
    client = await world()
    _, scheduler = await asyncio.gather(fleet.worker(), fleet.scheduler())
    before = await client.start("app:sleeper", [10])
    assert await before.result(30) == 1
    await scheduler.kill()
    handles = [await client.start("app:sleeper", [10, 10]) for _ in range(20)]
    await asyncio.gather(fleet.scheduler(), fleet.scheduler())
    assert await asyncio.gather(*(h.result(30) for h in handles)) == [2] * len(handles)
    late = await lateness(client)
    assert len(late) == 2 * len(handles) + 1
    assert late[-1] > 30, "nothing had to wait: the test did not test anything"


async def lateness(client: Client) -> list[int]:
    """How late each timer fired, in ms, the latest last; fails where a history is not right."""
    late = []
    for history in await read_histories(client):
        assert not list(problems_of(history))
        due = {e.body["seq"]: e.ts + e.body["ms"] for e in history.of("TimerStarted")}
        late += [e.ts - due[e.body["seq"]] for e in history.of("TimerFired")]
    return sorted(late)
